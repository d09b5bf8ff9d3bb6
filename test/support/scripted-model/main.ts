import { createScriptedModel, type ScriptedModelOptions } from '../scripted-model.ts';

/**
 * The scripted model as a process of its own, so that what it costs is not measured along:
 * `node test/support/scripted-model/main.ts '{"chatLatencyMs":4000,"embedLatencyMs":50}'` prints its base URL and ends when
 * its stdin closes, which it does at the latest with its parent.
 */
const options = JSON.parse(process.argv[2] ?? '{}') as Omit<ScriptedModelOptions, 'onChat' | 'onEmbed'>;
const model = await createScriptedModel({ keepRequests: 0, ...options });
process.stdin.resume().once('end', () => void model.close().then(() => process.exit(0)));
console.log(model.baseUrl);
