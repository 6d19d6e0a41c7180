// node run.mjs <provider>: everything that runs on a provider, with the demo release, as one JSON object on stdout.
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadPixels, openCaptioner, openExplainer } from '@dermcap/models';

const provider = process.argv[2];
const demo = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'models', 'demo');
const images = join(demo, 'study', 'images');
const files = readdirSync(images)
  .filter(name => /\.(png|jpe?g|webp)$/.test(name))
  .sort();
const started = Date.now();
const say = line =>
  process.stderr.write(`${provider} ${Math.round((Date.now() - started) / 1000)} s: ${line}\n`);

const release = stages => ({ releases: [{ dir: join(demo, 'release'), stages }], provider });
const brief = captions =>
  captions.map(stages => stages.map(({ stage, tokens, score }) => ({ stage, tokens, score })));

const pair = await openCaptioner(release(['a', 'b']));
// Some that are far apart in the study: different lesions.
const chosen = [0, 1, 2].map(i => files[Math.floor((i * files.length) / 3)]);
const pixels = [];
for (const name of chosen)
  pixels.push(await loadPixels(join(images, name), 'train-centre', pair.inputs[0], { autoOrient: false }));
const result = { provider: pair.provider.name };

say('embedding');
result.embeddings = (await pair.embed(pixels.slice(0, 2))).map(embedding => [...embedding]);
say('both stages, beam search, two images');
result.pair = brief(await pair.caption(pixels.slice(0, 2)));
say('both stages, greedy');
result.greedyPair = brief(await pair.caption(pixels.slice(2), { decoding: { numBeams: 1 } }));
await pair.close();

say('one stage, beam search');
const single = await openCaptioner(release(['b']));
result.single = brief(await single.caption(pixels.slice(2)));
await single.close();

say('explanation');
const explainer = await openExplainer(release(['a', 'b']));
const text = result.pair[0][1].tokens;
const explanation = await explainer.explain(pixels[0], { text });
const numbers = value =>
  typeof value === 'number'
    ? [value]
    : ArrayBuffer.isView(value)
      ? [...value]
      : value !== null && typeof value === 'object'
        ? Object.values(value).flatMap(numbers)
        : [];
result.readings = explanation.readings.map(numbers);
result.divergences = explanation.divergences.map(numbers);
result.rollout = numbers(await explainer.visionRollout(pixels[0]));
await explainer.close();
say('done');

process.stdout.write(JSON.stringify(result));
