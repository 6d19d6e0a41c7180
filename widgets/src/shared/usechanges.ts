import type { ISignal } from '@lumino/signaling';
import * as React from 'react';

/** Renders the component again whenever one of the signals is emitted. */
export function useChanges(...signals: ISignal<unknown, unknown>[]): void {
  const [, render] = React.useReducer((revision: number) => revision + 1, 0);
  React.useEffect(() => {
    for (const signal of signals) signal.connect(render);
    // What was emitted between rendering and here would be lost.
    render();
    return () => {
      for (const signal of signals) signal.disconnect(render);
    };
    // The signals themselves are the dependencies, however many there are.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, signals);
}
