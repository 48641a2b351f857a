import { MemoryStore } from '../../../core/config/memory-store.ts';
import { testStore } from '../../contract/stores.ts';

testStore({ name: 'memory', open: async (time) => new MemoryStore({ time, keptVersions: 10 }) });
