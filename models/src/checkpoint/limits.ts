/**
 * Limits against hostile or damaged files. A real release has 308 tensors and a pickle of some 30 kB; every limit
 * leaves room for models a hundred times as large and still bounds what opening a file can cost.
 */

/** Records of a zip, tensors of a file: each costs an object and a header read (CWE-770). */
export const MAX_ZIP_ENTRIES = 100_000;
export const MAX_TENSORS = 50_000;

/** The central directory is read into memory as a whole (CWE-789). */
export const MAX_ZIP_DIRECTORY_BYTES = 32 << 20;

/** So is the pickle, and it takes one step per byte at most (CWE-789, CWE-834). */
export const MAX_PICKLE_BYTES = 32 << 20;

/** One text or byte string in a pickle (CWE-789). */
export const MAX_STRING_BYTES = 10_000_000;

/** "module\nname\n" of a global: an endless line is no name (CWE-770). */
export const MAX_GLOBAL_NAME_BYTES = 256;

/**
 * Values a pickle makes in all, with those it hands to functions, since most of these copy them: a tensor takes some
 * sixty, {@link TEXT_PER_VALUE} bytes of text count as one (CWE-770, CWE-407).
 */
export const MAX_PICKLE_VALUES = 4_000_000;
export const TEXT_PER_VALUE = 16;

/** Values waiting on the pickle's stack, and values it remembers (CWE-770). */
export const MAX_STACK_VALUES = 2_000_000;
export const MAX_MEMO_VALUES = 2_000_000;

/** Dicts and lists inside each other; readers of the result recurse (CWE-674). */
export const MAX_NESTING = 64;

/**
 * Size of the result when every shared value is written out, as printing it would: a few bytes of pickle can
 * name an exponential tree (CWE-776).
 */
export const MAX_EXPANDED_VALUES = 8_000_000;

/** Axes of a tensor, as in numpy (CWE-770). */
export const MAX_DIMENSIONS = 64;

/** A tensor may have more elements than its storage (`expand` has stride 0), but not without end (CWE-789). */
export const MAX_EXPANDED_ELEMENTS = 1 << 24;

/** JSON header of a safetensors file, parsed as a whole; the format itself stops at 100 MB (CWE-789). */
export const MAX_SAFETENSORS_HEADER_BYTES = 32 << 20;

/** Elements of one tensor read into memory at once: 8 GiB as fp32 (CWE-789). */
export const MAX_READ_ELEMENTS = 2 ** 31;

/** Bytes read at a time when a strided tensor is gathered. */
export const GATHER_BLOCK_BYTES = 8 << 20;
