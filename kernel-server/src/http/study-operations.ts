/** The part of the API's description that speaks of studies. */
import * as contract from '../contract/index.js';
import type { Operations } from './operations.js';

/** What any route of a study may answer: no such study, not openable, in use, damaged, too many open. */
const STUDY = [404, 409, 422, 429, 503];
/** What may happen on writing: a full disk, beside the above. */
const WRITE = [400, 413, 507, ...STUDY];

export const STUDY_OPERATIONS: Operations = {
  '/me': { get: { summary: 'Who is asking', answer: { schema: 'Me' } } },
  '/studies': {
    get: {
      summary: 'The studies of a folder',
      query: contract.StudyQuery,
      answer: { schema: 'StudyList' },
      errors: [400, 403, 404],
    },
    post: {
      summary: 'Make a study',
      body: 'StudyRequest',
      status: 201,
      answer: { schema: 'Study' },
      errors: [403, ...WRITE],
    },
  },
  '/studies/{study}': {
    get: { summary: 'A study, which this opens', answer: { schema: 'Study' }, errors: STUDY },
  },
  '/studies/{study}/close': {
    post: { summary: 'Let other programs use the study', status: 204, answer: null, errors: [404] },
  },
  '/studies/{study}/backup': {
    post: {
      summary: 'Copy the study while it is in use',
      body: 'BackupRequest',
      status: 201,
      answer: { schema: 'BackupResult' },
      errors: [403, ...WRITE],
    },
  },
  '/studies/{study}/check': {
    post: { summary: 'Look for damage in the file', answer: { schema: 'CheckResult' }, errors: STUDY },
  },
  '/studies/{study}/settings': {
    get: { summary: 'What the study says of itself', answer: { schema: 'StudySettings' }, errors: STUDY },
    patch: {
      summary: 'Set what is named; null takes a setting away',
      body: 'StudySettings',
      answer: { schema: 'StudySettings' },
      errors: WRITE,
    },
  },
  '/studies/{study}/columns': {
    get: { summary: 'Columns to filter and sort by', answer: { schema: 'ImageColumnList' }, errors: STUDY },
  },
  '/studies/{study}/images/query': {
    post: {
      summary: 'One page of the images that a filter leaves',
      body: 'StudyImageSearch',
      answer: { schema: 'StudyImagePage' },
      errors: [400, 413, ...STUDY],
    },
  },
  '/studies/{study}/facets': {
    post: {
      summary: 'How often each value of some columns occurs, under the conditions on all other columns',
      body: 'FacetRequest',
      answer: { schema: 'FacetList' },
      errors: [400, 413, ...STUDY],
    },
  },
  '/studies/{study}/images/{image}': {
    get: { summary: 'One image', answer: { schema: 'StudyImage' }, errors: [400, ...STUDY] },
  },
  '/studies/{study}/images/{image}/captions': {
    get: {
      summary: 'Every caption of an image with all that made it, the newest first',
      answer: { schema: 'StudyCaptionList' },
      errors: [400, ...STUDY],
    },
  },
  '/studies/{study}/images/{image}/thumbnail': {
    get: {
      summary: 'A small upright picture of an image',
      query: contract.StudyThumbnailQuery,
      answer: { type: 'image/webp' },
      errors: [400, 403, ...STUDY],
    },
  },
  '/studies/{study}/images/{image}/file': {
    get: {
      summary: 'An image in a format that browsers show',
      query: contract.StudyFileQuery,
      answer: { type: 'image/*' },
      errors: [400, 403, 416, ...STUDY],
    },
  },
  '/studies/{study}/rubric': {
    get: { summary: 'What annotators are asked', answer: { schema: 'StoredRubric' }, errors: WRITE },
    put: {
      summary: 'Ask something else from now on',
      body: 'Rubric',
      answer: { schema: 'StoredRubric' },
      errors: WRITE,
    },
  },
  '/studies/{study}/ratings': {
    get: {
      summary: 'Rating events in the order in which they were stored',
      query: contract.RatingQuery,
      answer: { schema: 'RatingPage' },
      errors: [400, ...STUDY],
    },
    post: {
      summary: 'Store rating events; each once, however often it is sent',
      body: 'RatingBatch',
      answer: { schema: 'RatingResults' },
      errors: WRITE,
    },
  },
  '/studies/{study}/annotators': {
    get: {
      summary: 'Everyone who has rated or has a queue',
      answer: { schema: 'AnnotatorList' },
      errors: STUDY,
    },
  },
  '/studies/{study}/views': {
    get: { summary: 'Saved views', answer: { schema: 'SavedViewList' }, errors: STUDY },
    put: {
      summary: 'Save a view under its name',
      body: 'SavedViewRequest',
      answer: { schema: 'SavedView' },
      errors: WRITE,
    },
  },
  '/studies/{study}/views/{view}': {
    delete: { summary: 'Forget a saved view', status: 204, answer: null, errors: WRITE },
  },
  '/datasets/describe': {
    post: {
      summary: 'What a folder or manifest is, with its columns and what they are taken for',
      body: 'DatasetRequest',
      answer: { schema: 'DatasetDescription' },
      errors: [400, 403, 404, 413, 422],
    },
  },
  '/studies/{study}/imports': {
    get: { summary: 'Imports, the newest first', answer: { schema: 'ImportList' }, errors: STUDY },
    post: {
      summary: 'Import a dataset, or bring what was imported up to date',
      body: 'ImportRequest',
      status: 201,
      answer: { schema: 'Import' },
      errors: [403, ...WRITE],
    },
  },
  '/studies/{study}/imports/{import}': {
    get: { summary: 'An import as it stands', answer: { schema: 'Import' }, errors: STUDY },
  },
  '/studies/{study}/imports/{import}/cancel': {
    post: { summary: 'Stop an import; what is imported stays', answer: { schema: 'Import' }, errors: STUDY },
  },
  '/studies/{study}/runs': {
    get: { summary: 'Caption runs, the newest first', answer: { schema: 'StudyRunList' }, errors: STUDY },
    post: {
      summary: 'Caption the images that a filter leaves',
      body: 'StudyRunRequest',
      status: 201,
      answer: { schema: 'StudyRun' },
      errors: WRITE,
    },
  },
  '/studies/{study}/runs/{run}': {
    get: { summary: 'A run as it stands', answer: { schema: 'StudyRun' }, errors: STUDY },
    patch: {
      summary: 'Let a run go first, or wait',
      body: 'StudyRunChange',
      answer: { schema: 'StudyRun' },
      errors: WRITE,
    },
  },
  '/studies/{study}/runs/{run}/pause': {
    post: {
      summary: 'Stop a run after its batch, to be resumed',
      answer: { schema: 'StudyRun' },
      errors: WRITE,
    },
  },
  '/studies/{study}/runs/{run}/resume': {
    post: {
      summary: 'Go on with what is left of a paused, interrupted or failed run',
      answer: { schema: 'StudyRun' },
      errors: WRITE,
    },
  },
  '/studies/{study}/runs/{run}/cancel': {
    post: { summary: 'Stop a run after its batch for good', answer: { schema: 'StudyRun' }, errors: WRITE },
  },
  '/studies/{study}/runs/{run}/retry': {
    post: {
      summary: 'Try the images again that could not be captioned',
      answer: { schema: 'StudyRun' },
      errors: WRITE,
    },
  },
  '/studies/{study}/runs/{run}/failures': {
    get: {
      summary: 'Images that could not be captioned, each with the reason',
      query: contract.RunFailureQuery,
      answer: { schema: 'RunFailurePage' },
      errors: [400, ...STUDY],
    },
  },
  '/studies/{study}/runs/{run}/events': {
    get: {
      summary: 'What happens in a run, as server-sent events whose data is a StudyRunEvent',
      answer: { type: 'text/event-stream' },
      errors: STUDY,
    },
  },
};
