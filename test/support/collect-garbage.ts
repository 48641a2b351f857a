import { setFlagsFromString } from 'node:v8';
import { createContext, runInContext } from 'node:vm';

setFlagsFromString('--expose-gc');
/** Everything that nobody uses any more is gone when it returns. */
export const collectGarbage = runInContext('gc', createContext()) as () => void;
