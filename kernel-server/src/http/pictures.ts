/** Pictures as answers. */
import type { Response } from 'express';
import { DermcapError } from '@dermcap/models/errors';
import type { Picture } from '../datasets/pictures.js';

/** Sends a picture with validators and ranges; `versioned` addresses change with the file and never go stale. */
export function sendPicture(
  response: Response,
  picture: Picture,
  path: string,
  versioned: boolean,
): Promise<void> {
  const name = encodeURIComponent(path.slice(path.lastIndexOf('/') + 1)).replace(
    /['()*]/g,
    character => `%${character.charCodeAt(0).toString(16)}`,
  );
  response.set({
    ETag: picture.etag,
    'Cache-Control': versioned ? 'private, max-age=31536000, immutable' : 'private, no-cache',
    'Content-Disposition': `inline; filename*=UTF-8''${name}`,
    'Content-Type': picture.contentType,
  });
  const options = { cacheControl: false, etag: false, lastModified: false, dotfiles: 'allow' } as const;
  return new Promise((resolve, reject) => {
    response.sendFile(picture.file, options, (error?: NodeJS.ErrnoException & { status?: number }) => {
      // A client that goes away mid-picture is no failure.
      if (!error || ['ECONNABORTED', 'ECONNRESET', 'EPIPE'].includes(error.code ?? '')) resolve();
      else reject(sendFailure(error));
    });
  });
}

function sendFailure(error: NodeJS.ErrnoException & { status?: number }): Error {
  if (error.status === 404)
    return new DermcapError('no-such-file', 'The file vanished while it was being read.');
  if (error.status === 416) {
    return new DermcapError('range-not-satisfiable', 'The file has no bytes in the range asked for.');
  }
  return error;
}
