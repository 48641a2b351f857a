// How the proxy treats each command that is more than a question and an answer, with the reason.
// A known command that is not listed here leaves no trace on its connection and is `shared`.

/**
 * shared: leaves no trace on a connection, any shared link will do.
 * blocking: an own link while it waits.
 * transaction: an own link from MULTI or WATCH until EXEC, DISCARD or UNWATCH was answered.
 * subscription, monitor: an own link, pushes have no request.
 * session: answered or emulated at the door.
 * stateful: an own link for the rest of the connection; every unknown command.
 * harmful: refused unless the route allows it.
 * replication: always refused.
 */
export type Treatment =
  | 'shared' | 'blocking' | 'transaction' | 'subscription' | 'monitor' | 'session' | 'stateful' | 'harmful'
  | 'replication';

type Row = readonly [names: string, treatment: Treatment, reason: string];

/** Names that share a treatment and its reason. `container|` stands for its unknown subcommands. */
export const overrides: readonly Row[] = [
  ['blpop brpop brpoplpush blmove blmovem blmpop bzpopmin bzpopmax bzmpop', 'blocking',
    'stops everything behind it on its connection until it is served or times out'],
  ['xread xreadgroup ts.read', 'blocking', 'waits, but only with BLOCK: without it they are shared'],
  // On an idle own link WAIT answers at once that all replicas have it [7.0.15]: send a PING before it.
  ['wait waitaof', 'blocking', 'waits for what the server had written at its connection\'s last command'],

  ['multi exec discard', 'transaction', 'queued commands belong to one connection'],
  ['watch unwatch', 'transaction', 'watched keys belong to one connection'],

  ['subscribe psubscribe ssubscribe', 'subscription', 'turns the connection into a stream of pushes'],
  ['unsubscribe punsubscribe sunsubscribe', 'subscription', 'concerns the connection that subscribed'],
  ['monitor', 'monitor', 'turns the connection into a stream of lines'],

  ['auth hello', 'session', 'identity and protocol version belong to the client'],
  ['reset quit', 'session', 'would reset or close the link of everybody'],
  ['select', 'session', 'the database belongs to the client; on a shared link it would be everybody\'s'],
  ['asking readonly readwrite', 'session', 'modes of one connection, the first for one command only'],
  ['client|setname client|getname client|setinfo client|id client|info', 'session',
    'name and number of the client, not of the link'],
  ['client|list', 'session', 'shows the proxy\'s clients of this route, not its links'],
  ['client|no-evict client|no-touch', 'session', 'a mode of the connection'],
  ['client|reply', 'session', 'silence concerns one client: the server answers, the door keeps quiet'],

  ['client|tracking client|caching', 'stateful', 'invalidations are pushed to the connection that asked'],
  ['client|capa', 'stateful', 'changes which replies the server gives to the connection'],
  ['client|import-source', 'stateful', 'a mode of the connection that can\'t be asked back'],
  ['client|', 'stateful', 'a new subcommand most likely sets a mode of the connection'],
  ['script|debug', 'stateful', 'the next EVAL of the connection opens a debugging session'],
  ['himport|prepare himport|set himport|discard himport|discardall himport|', 'stateful',
    'fieldsets are kept per connection'],
  ['sentinel', 'stateful', 'partly changes what the connection sees; nothing to gain from sharing'],

  ['shutdown debug', 'harmful', 'stops or freezes the server under all clients'],
  ['replicaof slaveof failover', 'harmful', 'changes the role of the node under all clients'],
  ['module|load module|loadex module|unload module|', 'harmful', 'runs code in the server'],
  ['migrate', 'harmful', 'moves keys away, to an address of the client\'s choice'],
  ['client|kill client|pause client|unpause client|unblock', 'harmful', 'hits the links of all clients'],
  ['script|kill function|kill', 'harmful', 'kills a script that another client runs'],
  ['cluster|addslots cluster|addslotsrange cluster|delslots cluster|delslotsrange cluster|setslot'
    + ' cluster|flushslot cluster|flushslots cluster|migration cluster|migrateslots'
    + ' cluster|cancelslotmigrations cluster|failover cluster|forget cluster|meet cluster|replicate'
    + ' cluster|reset cluster|saveconfig cluster|bumpepoch cluster|set-config-epoch cluster|', 'harmful',
    'changes the cluster under all clients'],
  ['sflush trimslots', 'harmful', 'part of a slot migration: drops the keys of whole slots'],

  ['sync psync replconf cluster|syncslots', 'replication',
  'the connection stops speaking requests and replies'],
];
