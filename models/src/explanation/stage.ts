/** One stage as explanations need it: its prompt and tokens, one text read with attention, many images scored. */
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import type { OpenStage } from '../architecture/release.js';
import { mapSources } from '../architecture/source.js';
import { promptOf } from '../asked.js';
import { DermcapError } from '../errors.js';
import { divergenceGraph, explainGraph, likelihoodGraph } from '../graph/explain.js';
import type { ExplainedModel } from '../graph/explain.js';
import type { Tokenizer } from '../text/tokenizer.js';
import { readText, textLikelihoods } from './reading.js';
import type { ReadingTokens } from './reading.js';
import type { Materialise, Sessions } from './sessions.js';
import type { Divergence, Reading, SaliencyRequest, TextRequest, TokenText } from './types.js';
import { tokensOfWords, tokenTexts } from './words.js';

/** `hidden` is the last norm's output at the predicting positions, for divergences. */
export interface StageResult {
  reading: Reading;
  hidden: Tensor;
}

export class StageReader {
  private mapped: Promise<ExplainedModel> | undefined;

  /** @param index its place among those that share the sessions */
  constructor(
    readonly index: number,
    private readonly stage: OpenStage,
    private readonly endOfText: number,
    private readonly tokenizer: Tokenizer,
    private readonly sessions: Sessions,
    private readonly materialise: Materialise,
  ) {}

  /** Which output of the tower the projector takes. */
  get input() {
    return this.stage.architecture.projector.input;
  }

  /** @throws DermcapError `prompt-unknown` */
  tokens(request: TextRequest): ReadingTokens & { promptText: string } {
    const promptText = promptOf(this.stage, request.prompt);
    const text = typeof request.text === 'string' ? this.tokenizer.encode(request.text) : [...request.text];
    if (request.endOfText === true) text.push(this.endOfText);
    return { promptText, prompt: this.tokenizer.encode(promptText), text };
  }

  decode(tokens: readonly number[]): string {
    return this.tokenizer.decode([...tokens]);
  }

  /** @param embedding [D] */
  async read(
    embedding: Float32Array,
    tokens: ReadingTokens & { promptText: string },
    topK: number,
  ): Promise<StageResult> {
    const model = await this.model();
    const session = await this.session('explain', () => explainGraph(model));
    const { hidden, ...raw } = await readText(session, model, embedding, tokens, topK);
    const texts = this.texts(tokens.text);
    const reading = {
      stage: this.index,
      prompt: tokens.promptText,
      promptTokens: this.texts(tokens.prompt),
      tokens: raw.tokens.map((token, i) => ({
        ...token,
        ...texts[i]!,
        alternatives: token.alternatives.map(other => ({ ...other, ...this.texts([other.id])[0]! })),
      })),
      logLikelihood: raw.tokens.reduce((sum, token) => sum + token.logProbability, 0),
      attention: raw.attention,
      rollout: raw.rollout,
    };
    return { reading, hidden };
  }

  /** The log-likelihood of chosen tokens of a text, for embeddings [B, D]. */
  async likelihoods(
    embeddings: Float32Array,
    tokens: ReadingTokens,
    chosen: readonly number[],
  ): Promise<number[]> {
    const model = await this.model();
    const session = await this.session('likelihood', () => likelihoodGraph(model));
    return textLikelihoods(session, model, embeddings, tokens, chosen);
  }

  /** How far another stage's distributions lie from this one's; null where they do not read the same tokens. */
  async divergence(own: StageResult, other: StageReader, others: StageResult): Promise<Divergence | null> {
    const models = [await this.model(), await other.model()];
    const [p, q] = models.map(({ sizes }) => sizes.vocabulary);
    const ids = ({ reading }: StageResult) => reading.tokens.map(({ id }) => id).join();
    if (p !== q || ids(own) !== ids(others)) return null;
    const session = await this.session(`divergence ${other.index} of`, () =>
      divergenceGraph(models.map(({ gpt2, sizes }) => ({ head: gpt2.head, width: sizes.width }))),
    );
    const outputs = await session.run({ hidden_0: own.hidden, hidden_1: others.hidden });
    const values = (name: string) => outputs[name]!.data as Float32Array;
    return {
      stages: [this.index, other.index],
      forward: values('forward'),
      backward: values('backward'),
      jensenShannon: values('jensenShannon'),
    };
  }

  /**
   * Indices of the tokens that words or indices name, in order; all without a wish.
   * @throws DermcapError `word-missing` | `token-missing`
   */
  chosen(text: readonly number[], target: SaliencyRequest['target']): number[] {
    if (target === undefined) return text.map((_, i) => i);
    if ('words' in target)
      return tokensOfWords(
        this.texts(text).map(token => token.text),
        target.words,
      );
    const outside = target.tokens.find(index => !(index in text));
    if (outside !== undefined)
      throw new DermcapError(
        'token-missing',
        `The text has no token ${outside}: it has ${text.length}, counted from 0.`,
      );
    return [...new Set(target.tokens)].sort((a, b) => a - b);
  }

  private texts(tokens: readonly number[]): TokenText[] {
    const texts = tokenTexts(ids => this.tokenizer.decode(ids), tokens);
    return tokens.map((id, i) => ({ id, text: id === this.endOfText ? '<|endoftext|>' : texts[i]! }));
  }

  private session(kind: string, graph: () => ReturnType<typeof explainGraph>): Promise<InferenceSession> {
    return this.sessions.get(`${kind} ${this.index}`, graph);
  }

  private model(): Promise<ExplainedModel> {
    return (this.mapped ??= this.materialised());
  }

  private async materialised(): Promise<ExplainedModel> {
    const { architecture, sources } = this.stage;
    const { sizes, prefixSlots, embedding } = architecture;
    return {
      sizes,
      prefixSlots,
      embedding,
      projector: await mapSources(sources.projector, this.materialise),
      gpt2: await mapSources(sources.gpt2, this.materialise),
    };
  }
}
