import { describe, expect, it } from 'vitest';
import { judgePair } from '../../../src/consolidation/rules/judge-pair.ts';

const january = new Date('2026-01-10T00:00:00Z');
const february = new Date('2026-02-20T00:00:00Z');
/** Close enough for two preferences of one kind. */
const similarity = 0.93;

/** What held, and what a later text says of the same attribute. */
const changes: readonly (readonly [held: string, offered: string])[] = [
  ['Nadia lives in Ghent.', 'Nadia lives in Antwerp.'],
  ['Nadia lives in Ghent.', 'Nadia now lives in Antwerp.'],
  ['Nadia lives in Ghent.', 'Nadia has moved to Antwerp.'],
  ['Nadia lives in Ghent.', 'Nadia moved from Ghent to Antwerp.'],
  ['Nadia is living in Ghent.', 'Nadia lives in Antwerp now.'],
  ['Olu works at Siemens.', 'Olu works at Bosch.'],
  ['Olu works for the city.', 'Olu now works for the county.'],
  ["Olu's job title is data analyst.", "Olu's job title is data engineer."],
  ['The rent is 900 euros a month.', 'The rent is 950 euros a month.'],
  ['The rent is 900 euros a month.', 'The rent has been raised to 950 euros a month.'],
  ['The rent is 900 euros.', 'The rent went up from 900 to 950 euros.'],
  ['The entrance fee is 5 euros.', 'The entrance fee is 6 euros since May.'],
  ['A day ticket costs 8 euros.', 'A day ticket costs 9 euros.'],
  ['The standup is at 9:30.', 'The standup is at 10:00.'],
  ['The standup is at 9:30.', 'The standup has moved to 10:00.'],
  ['The standup is at 9:30.', 'We moved the standup to 10:00.'],
  ['The standup is on Mondays.', 'The standup has been moved to Tuesdays.'],
  ['The weekly sync is in room 2.', 'The weekly sync is in room 5.'],
  ['The weekly sync is in room 2.', 'The weekly sync has moved to room 5.'],
  ['The offsite is in Lisbon.', 'The offsite has been moved from Lisbon to Porto.'],
  ['The production database runs PostgreSQL 15.', 'The production database runs PostgreSQL 17.'],
  ['Production is on version 2.4.1.', 'Production is on version 2.5.0.'],
  ['The current version is 3.1.', 'The current version is 3.2.'],
  ['The password is rotated every 90 days.', 'The password is rotated every 60 days.'],
  ['Passwords must be rotated every 90 days.', 'Passwords must be rotated every 60 days.'],
  ['The door code is 4711.', 'The door code is 8822.'],
  ['The door code is 4711.', 'The new door code is 8822.'],
  ['The team lead is Sven.', 'The team lead is Maria.'],
  ['Sven is the team lead of the platform group.', 'Maria is the team lead of the platform group now.'],
  ['The choir is led by Tomas.', 'The choir is led by Eva.'],
  ['The plants are watered by Nils.', 'The plants are watered by Gabi.'],
  ['The backlog is groomed by Sven.', 'The backlog is groomed by Maria.'],
  ['The on-call phone is with Dmitri.', 'Laura has taken over the on-call phone from Dmitri.'],
  ['Dmitri is head of procurement.', 'Laura replaced Dmitri as head of procurement.'],
  ['The deadline is 3 April.', 'The deadline is 17 April.'],
  ['The deadline for the grant is 3 April.', 'The deadline for the grant has been extended to 17 April.'],
  ['The exhibition opens on 2 May.', 'The exhibition opens on 9 May.'],
  ['The contract runs until 2027.', 'The contract runs until 2029.'],
  ['The shop closes at 18:00.', 'The shop closes at 19:00.'],
  ['The shop is open from 9 to 18.', 'The shop is open from 10 to 19.'],
  ['Backups run at 02:00.', 'Backups run at 03:30.'],
  ['Backups are kept for 30 days.', 'Backups are kept for 35 days.'],
  ['The shuttle runs every 20 minutes.', 'The shuttle runs every 30 minutes.'],
  ['The choir rehearses on Tuesdays.', 'The choir rehearses on Thursdays.'],
  ['The bins are emptied on Mondays.', 'The bins are now emptied on Fridays.'],
  ['The team has 6 members.', 'The team has 8 members.'],
  ['The class has 24 pupils.', 'The class has 26 pupils.'],
  ['Our cat weighs 4.2 kg.', 'Our cat weighs 4.8 kg.'],
  ['Mika is 6 years old.', 'Mika is 7 years old.'],
  ['Order 551 is pending.', 'Order 551 has been shipped.'],
  ['Order 551 is on its way.', 'Order 551 has been delivered.'],
  ['Issue 88 is open.', 'Issue 88 is resolved.'],
  ['PR 42 is in review.', 'PR 42 has been merged.'],
  ['The printer is out of order.', 'The printer is working again.'],
  ['The meeting room is booked.', 'The meeting room is free.'],
  ['Ilse is on parental leave.', 'Ilse is back at work.'],
  ['Ilse is engaged.', 'Ilse is married.'],
  ['Yusuf is vegetarian.', 'Yusuf is vegan.'],
  ['Invoice 77 is unpaid.', 'Invoice 77 is paid.'],
  ['The feature flag is enabled.', 'The feature flag is disabled.'],
  ['The road is open.', 'The road is closed.'],
  ['We deploy with Jenkins.', 'We now deploy with Argo.'],
  ['We deploy with Jenkins.', 'We have switched from Jenkins to Argo.'],
  ['The service is written in Python.', 'The service is written in Rust.'],
  ['The site is hosted on Heroku.', 'The site is hosted on Fly.'],
  ['The site is hosted on Heroku.', 'The site has been migrated from Heroku to Fly.'],
  ['The docs are stored in Confluence.', 'The docs are stored in Notion.'],
  ['The default branch is called master.', 'The default branch is called main.'],
  ['The default branch is called master.', 'The default branch has been renamed to main.'],
  ['The project is called Heron.', 'The project has been renamed from Heron to Falcon.'],
  ['The default region is eu-west-1.', 'The default region is eu-central-1.'],
  ['The retry limit is 3.', 'The retry limit is 5.'],
  ['The upload limit is 10 MB.', 'The upload limit was raised to 25 MB.'],
  ['The timeout is set to 30 seconds.', 'The timeout is set to 60 seconds.'],
  ['The spare key is in the drawer.', 'The spare key is in the cupboard.'],
  ["Ana's favourite colour is red.", "Ana's favourite colour is blue."],
  ["Ana's favourite colour is red.", "Ana's favourite colour is now blue."],
  ["Red is Ana's favourite colour.", "Blue is Ana's favourite colour."],
  ['Ana prefers tea.', 'Ana prefers coffee.'],
  ['Ana prefers tea to coffee.', 'Ana prefers coffee to tea.'],
  ['Ana likes tea more than coffee.', 'Ana likes coffee more than tea.'],
  ['Ana drinks tea.', 'Ana drinks coffee instead of tea.'],
  ['Ana drinks tea.', 'Ana now drinks coffee instead of tea.'],
  ['Ana likes thrillers.', 'Ana has lost interest in thrillers.'],
  ['Ana eats meat.', 'Ana no longer eats meat.'],
  ['Ana eats meat.', "Ana doesn't eat meat any more."],
  ['Ana smokes.', 'Ana has stopped smoking.'],
  ['Ben prefers calls in the morning.', 'Ben prefers calls in the evening.'],
  ['Ben prefers dark mode.', 'Ben prefers light mode.'],
  ['Ben wants his eggs fried.', 'Ben wants his eggs boiled.'],
  ['Ben takes his coffee black.', 'Ben takes his coffee white.'],
  ['Ben usually books a window seat.', 'Ben usually books an aisle seat.'],
  ['Ben always orders the soup.', 'Ben always orders the salad.'],
  ['Ben always books a window seat.', 'Ben has switched to aisle seats.'],
  ['Ben runs in the morning.', 'Ben runs in the evening.'],
  ['Ben runs before work.', 'Ben runs after work.'],
  ['Ben cycles to work.', 'Ben no longer cycles to work.'],
  ['Ben takes the bus to work.', 'Ben takes the train to work.'],
  ['Ben eats cereal for breakfast.', 'Ben eats yoghurt for breakfast.'],
  ['Ben wants to be called Benny.', 'Ben wants to be called Benjamin.'],
  ['Ben wants weekly reports.', 'Ben wants monthly reports.'],
  ['Ben would like the report as PDF.', 'Ben would like the report as a spreadsheet.'],
  ['The client wants the logo in green.', 'The client wants the logo in blue.'],
  ['The client prefers to be contacted by phone.', 'The client prefers to be contacted by e-mail.'],
  ["Ben's phone number is 555-0101.", 'Ben has a new phone number: 555-0202.'],
  ["Ben's address is 12 Elm Road.", "Ben's address is 40 Oak Street."],
  ["Ben's manager is Ida.", "Ben's manager is Olaf."],
  ['Ben reports to Ida.', 'Ben reports to Olaf.'],
  ['The interest rate is 3.5 %.', 'The interest rate is 4 %.'],
  ['The interest rate stands at 3.5 %.', 'The interest rate stands at 3.75 %.'],
  ['The dog is fed twice a day.', 'The dog is fed three times a day.'],
  ['The newsletter has 1,200 subscribers.', 'The newsletter has 1,450 subscribers.'],
  ['The thermostat is set to 20 °C.', 'The thermostat is set to 18 °C.'],
  ['Sprint length is two weeks.', 'Sprint length is three weeks.'],
  ['Sprints last two weeks.', 'Sprints last three weeks.'],
  ['The wedding is planned for 5 June.', 'The wedding has been postponed to 12 September.'],
  ['The launch is on 5 June.', 'The launch has been moved to 12 June.'],
  ['The flat is for rent.', 'The flat is no longer for rent.'],
  ['The bakery is closed on Mondays.', 'The bakery is now closed on Tuesdays.'],
  ['Hugo is in class 3b.', 'Hugo is in class 4b.'],
  ['The library is on the second floor.', 'The library is on the third floor.'],
  ['The train to Graz leaves from platform 4.', 'The train to Graz now leaves from platform 7.'],
  ['Lunch is at 12:30.', 'Lunch is at 13:00.'],
  ['Dinner is served at 19:00.', 'Dinner is served at 20:00.'],
  ['Nadia lives in Ghent.', 'Nadia left Ghent; she lives in Antwerp now.'],
  ["Kerstin's leave starts on 16 March.", 'Kerstin pushed her leave back a week, it starts on 23 March.'],
  ['The main contractor is Brandt & Sons.', 'Brandt & Sons walked out; Novak Bau is the main contractor.'],
  ['The coach is Elke.', 'Rob is the coach.'],
  ['The rent is 900 euros.', 'The rent is no longer 900 but 950 euros.'],
  ['The rent is 900 euros.', 'The rent is 950 euros (was 900).'],
  ['The rent is 900 euros.', 'The rent is 950 euros, up from 900.'],
  ['The rent is 900 euros.', 'Update: the rent is 950 euros.'],
  ['Yusuf is vegetarian.', 'Yusuf has become vegan.'],
  ['Lena hates olives.', 'Lena loves olives now.'],
  ['Lena hates olives.', 'Lena has come to like olives.'],
  ["Lena can't stand olives.", 'Lena likes olives.'],
  ['Lena loves olives.', "Lena doesn't like olives any more."],
  ['Nils runs the standup.', 'Gabi now runs the standup.'],
  ['We build with webpack.', 'We replaced webpack with Vite.'],
  ['We use Slack.', 'We dropped Slack for Matrix.'],
  ['Amir studies law.', 'Amir studies medicine.'],
  ['The car is parked on level 2.', 'The car is parked on level 4.'],
  ['The dog sleeps in the hall.', 'The dog sleeps in the kitchen.'],
  ['The server runs Ubuntu 22.04.', 'The server runs Ubuntu 24.04.'],
  ['The password policy requires 12 characters.', 'The password policy requires 14 characters.'],
  ['Carmen wants the newsletter weekly.', 'Carmen wants the newsletter monthly.'],
  ['Carmen wants the walls grey.', 'Carmen wants the walls white.'],
  ['The phone number of Mateo is 5512.', "Mateo's phone number is 8821."],
  ['Stock: 40 bags.', 'Stock: 12 bags.'],
  ['Carmen wants her reports as PDF.', "Carmen doesn't want her reports as PDF any more, she prefers spreadsheets."],
  ['The river is at 3.2 m.', 'The river is at 4.1 m.'],
  ['The battery is at 80 %.', 'The battery is at 35 %.'],
  ['The waiting list has 12 names.', 'The waiting list has 15 names.'],
  ['Johan has 3 grandchildren.', 'Johan has 4 grandchildren.'],
  ['CI takes 12 minutes.', 'CI now takes 7 minutes.'],
  ['CI takes 12 minutes.', 'CI takes 7 minutes since the cache works.'],
  ['Our landlord is Mr. Quist.', 'Our landlord is Ms. Adler.'],
  ['Rosa is in grade 3.', 'Rosa is in grade 4.'],
  ["Tom's desk is on the second floor.", "Tom's desk has moved to the fourth floor."],
  ['The class meets in room 12.', 'The class meets in room 14.'],
  ['The sprint review is on Thursdays.', 'The sprint review is on Fridays.'],
  ['The sprint review is at 15:00.', 'From next week on the sprint review is at 16:00.'],
  ['The price of bread is 4 euros.', 'The price of bread rose to 4.50 euros.'],
  ['The fee is waived.', 'The fee is no longer waived.'],
  ['Payments go through Stripe.', 'Payments now go through Adyen.'],
  ['The kids go to school by bus.', 'The kids now go to school by bike.'],
  ['The office is open on Saturdays.', 'The office is not open on Saturdays any more.'],
  ['The cat sleeps in the kitchen.', 'The cat now sleeps in the bedroom.'],
  ['The song is number 4 in the charts.', 'The song is number 1 in the charts.'],
  ['Ana is on level A2 in German.', 'Ana is on level B1 in German.'],
  ['The keys are at the reception.', 'The keys are at the office.'],
  ['The alarm is set for 6:30.', 'The alarm is set for 7:00.'],
  ['The subscription renews in May.', 'The subscription renews in June.'],
  ['The next release is 4.2.', 'The next release is 4.3.'],
  ['The loan is held by Ana.', 'The loan is held by Ben.'],
  ['The wifi password is tulip77.', 'The wifi password is orchid12.'],
  ['The speaker is Dr. Lund.', 'The speaker is now Dr. Berg.'],
  ['Marek drives a Skoda.', 'Marek now drives a Volvo.'],
  ['The conference is in Vienna.', 'The conference will be in Graz instead of Vienna.'],
  ['The score is 2 to 1.', 'The score is 3 to 1.'],
  ['The project is in the planning phase.', 'The project is in the testing phase.'],
  ['The house is for sale.', 'The house is sold.'],
  ['The basement is being renovated.', 'The basement is finished.'],
  ['Nina is single.', 'Nina is engaged.'],
  ['The sign-up form is closed.', 'The sign-up form is open again.'],
];

describe('a later value of what one has one of', () => {
  it.each(changes)('supersedes: %s → %s', (held, offered) => {
    expect(
      judgePair({ text: held, validFrom: january }, { text: offered, validFrom: february }, similarity).label,
    ).toBe('supersede');
  });

  it.each(changes)('is never superseded by what is older: %s → %s', (held, offered) => {
    const { label } = judgePair({ text: held, validFrom: february }, { text: offered, validFrom: january }, similarity);
    expect(['superseded-by', 'keep-both']).toContain(label);
  });

  it.each(changes)('supersedes nothing without a date on both sides, or at the same time: %s → %s', (held, offered) => {
    for (const [heldFrom, offeredFrom] of [
      [null, null],
      [january, null],
      [null, january],
      [january, january],
    ] as const) {
      const { label } = judgePair(
        { text: held, validFrom: heldFrom },
        { text: offered, validFrom: offeredFrom },
        similarity,
      );
      expect(['conflict', 'keep-both']).toContain(label);
    }
  });
});

const contradictions: readonly (readonly [string, string])[] = [
  ["Lena's birthday is on 4 May.", "Lena's birthday is on 14 May."],
  ['Alonso was born in Valparaíso.', 'Alonso was born in Concepción.'],
  ['The tower is 86 m high.', 'The tower is 68 m high.'],
  ['The meeting point is the north exit.', 'The meeting point is the south exit.'],
  ['The shutter is in the basement.', 'The shutter is on the roof.'],
  ['Turn the valve clockwise to open it.', 'Turn the valve counter-clockwise to open it.'],
  ['The service uses Kafka.', "The service doesn't use Kafka."],
  ['The roof is insured.', 'The roof is uninsured.'],
  ['Guests may bring dogs.', 'Guests may never bring dogs.'],
  ['Ana likes opera.', 'Ana dislikes opera.'],
];

describe('two values and nothing that tells which is later', () => {
  it.each(contradictions)('contradict: %s / %s', (held, offered) => {
    expect(judgePair({ text: held, validFrom: null }, { text: offered, validFrom: null }, similarity).label).toBe(
      'conflict',
    );
    expect(judgePair({ text: offered, validFrom: january }, { text: held, validFrom: january }, similarity).label).toBe(
      'conflict',
    );
  });

  it('contradict whatever their dates where the fact lies in the past', () => {
    const [held, offered] = ['Alonso was born in Valparaíso.', 'Alonso was born in Concepción.'];
    expect(
      judgePair({ text: held, validFrom: january }, { text: offered, validFrom: february }, similarity).label,
    ).toBe('conflict');
  });
});

describe('a date that had passed', () => {
  it('was another occasion', () => {
    const held = { text: 'The fair is on 5 February 2026.', validFrom: january };
    expect(judgePair(held, { text: 'The fair is on 9 April 2026.', validFrom: february }, similarity).label).toBe(
      'keep-both',
    );
    expect(
      judgePair(
        held,
        { text: 'The fair is on 12 February 2026.', validFrom: new Date('2026-01-20T00:00:00Z') },
        similarity,
      ).label,
    ).toBe('supersede');
  });
});
