/** What a property list holds. */
export type PlistValue = string | number | boolean | readonly PlistValue[] | { readonly [key: string]: PlistValue };

/**
 * Reads a property list as strictly as launchd does, and no more of XML than it takes: a tag out of place, a dict whose
 * keys and values do not pair up or an unescaped character is an error. xmllint would pass all but the last.
 */
export function readPlist(xml: string): PlistValue {
  const head = /^<\?xml version="1\.0" encoding="UTF-8"\?>\s*(?:<!--[\s\S]*?-->\s*)?<!DOCTYPE plist [^>]*>\s*/.exec(
    xml,
  );
  if (!head) throw new Error('no XML declaration and document type');
  const body = xml.slice(head[0].length).replace(/<!--(?:(?!--)[\s\S])*-->/g, '');
  const tokens = [...body.matchAll(/<(\/?)([a-z]+)((?: version="1\.0")?)(\/?)>|([^<]+)|(<)/g)]
    .map(([, close = '', tag = '', , empty = '', text, stray]) => {
      if (stray !== undefined) throw new Error('a < that begins no tag');
      return { tag: tag && `${close}${tag}${empty}`, text: text ?? '' };
    })
    .filter(({ tag, text }) => tag !== '' || text.trim() !== '');
  let at = 0;

  const take = (tag: string): void => {
    const next = tokens[at++];
    if (next?.tag !== tag) throw new Error(`expected <${tag}>, got ${JSON.stringify(next)}`);
  };
  const textUntil = (tag: string): string => {
    const text = tokens[at]?.tag === '' ? (tokens[at++]?.text ?? '') : '';
    take(`/${tag}`);
    if (/&(?!(?:amp|lt|gt);)/.test(text)) throw new Error(`an unescaped & in ${text}`);
    return text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
  };
  const value = (): PlistValue => {
    const { tag = '' } = tokens[at++] ?? {};
    switch (tag) {
      case 'string':
        return textUntil('string');
      case 'integer': {
        const text = textUntil('integer');
        if (!/^-?\d+$/.test(text)) throw new Error(`${text} is no integer`);
        return Number(text);
      }
      case 'true/':
        return true;
      case 'false/':
        return false;
      case 'array': {
        const items: PlistValue[] = [];
        while (tokens[at]?.tag !== '/array') items.push(value());
        take('/array');
        return items;
      }
      case 'dict': {
        const entries: Record<string, PlistValue> = {};
        while (tokens[at]?.tag !== '/dict') {
          take('key');
          const key = textUntil('key');
          if (key in entries) throw new Error(`${key} twice`);
          entries[key] = value();
        }
        take('/dict');
        return entries;
      }
      default:
        throw new Error(`<${tag}> has no place here`);
    }
  };

  take('plist');
  const read = value();
  take('/plist');
  if (at !== tokens.length) throw new Error('something follows the list');
  return read;
}
