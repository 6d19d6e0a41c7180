/** The files of a release a caption can come from: Stage A, Stage B, or the published final model. */
export type StageId = 'a' | 'b' | 'final';
