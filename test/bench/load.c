// Load generator and Redis stand-in in one thread and one epoll loop, so that nothing but the proxy between
// them decides the figures. The stand-in answers at once and from memory; the clients send the next batch
// when the last reply of the one before has come (a closed loop: the proxy is always saturated).
//
// Commands on stdin, one a line; answers on stdout:
//
//   run PORT get|set CONNECTIONS DEPTH BYTES MILLISECONDS
//       warm                              measuring begins: the caller reads the proxy's CPU time here
//       done                              and here
//       result SECONDS REQUESTS P50 P99   latencies in microseconds
//   hold PORT CONNECTIONS                 opens them, makes one GET on each and keeps them open
//       held CONNECTIONS
//   fetch REQUESTS                        so many GETs over the held connections, one at a time on each
//       fetched REQUESTS
//   drop                                  closes them
//       dropped
//
// Whatever goes wrong is printed as "error TEXT" and ends the program; so does the end of stdin.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum {
  MAX_CLIENTS = 16000,
  MAX_DEPTH = 1024,
  MAX_VALUE = 1 << 20,
  CHUNK = 1 << 20,
  // Every chunk of replies is compared with what must come, up to here: enough to notice a wrong reply,
  // too little to make the load generator the bottleneck with large values.
  COMPARED = 4096,
  WARM_UP_MS = 200,
  PATIENCE_MS = 30000,
};

enum kind { LISTENER, SERVER, CLIENT, COMMANDS };

struct peer {
  int fd;
  enum kind kind;
  // What is still to be sent: a server's replies, in memory of its own, or the rest of a client's batch.
  char *out;
  size_t out_start, out_end, out_size;
  bool waiting;
  // Of a server: the request being parsed, which may be cut anywhere.
  char line_type, name;
  bool named;
  size_t number, arguments, skip;
  // Of a client: replies still to come, and how much of the next one has.
  size_t owed, position;
  uint64_t sent_at;
};

static int epoll;
static bool commanded;
static char chunk[CHUNK];
static char value_reply[MAX_VALUE + 32];
static size_t value_reply_size;

static struct peer *clients[MAX_CLIENTS];
static int client_count;
static char *batch, *expected;
static size_t batch_size, reply_size, depth;
static uint64_t answered, budget;

static void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  printf("error ");
  vprintf(format, arguments);
  printf("\n");
  exit(1);
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000ull + time.tv_nsec;
}

// Latencies in a log-linear histogram: 64 steps per power of two, so at most 1.6 % too low.

static uint64_t histogram[59 * 64], recorded;

static void forget(void) {
  answered = recorded = 0;
  memset(histogram, 0, sizeof histogram);
}

static void record(uint64_t nanoseconds, size_t times) {
  int shift = nanoseconds < 128 ? 0 : 63 - __builtin_clzll(nanoseconds) - 6;
  histogram[shift * 64 + (nanoseconds >> shift)] += times;
  recorded += times;
}

static double percentile_us(double part) {
  uint64_t wanted = part * recorded, seen = 0;
  for (int i = 0; i < 59 * 64; i++) {
    seen += histogram[i];
    if (seen <= wanted) continue;
    int shift = i < 128 ? 0 : i / 64 - 1;
    return (double)((uint64_t)(i - shift * 64) << shift) / 1000;
  }
  return 0;
}

// Sockets.

static void watch(struct peer *peer, int operation, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = peer};
  if (epoll_ctl(epoll, operation, peer->fd, &event) != 0) fail("epoll: %s", strerror(errno));
}

static struct peer *add(int fd, enum kind kind) {
  if (fd < 0) fail("socket: %s", strerror(errno));
  struct peer *peer = calloc(1, sizeof *peer);
  peer->fd = fd;
  peer->kind = kind;
  int on = 1;
  if (kind == SERVER || kind == CLIENT) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  watch(peer, EPOLL_CTL_ADD, EPOLLIN);
  return peer;
}

static void drop(struct peer *peer) {
  close(peer->fd);
  if (peer->kind == SERVER) free(peer->out);
  free(peer);
}

static void flush(struct peer *peer) {
  ssize_t sent = send(peer->fd, peer->out + peer->out_start, peer->out_end - peer->out_start, MSG_NOSIGNAL);
  // A proxy that went away is noticed by the next read.
  if (sent > 0) peer->out_start += sent;
  bool waiting = peer->out_start < peer->out_end;
  if (waiting != peer->waiting) watch(peer, EPOLL_CTL_MOD, waiting ? EPOLLIN | EPOLLOUT : EPOLLIN);
  peer->waiting = waiting;
  if (!waiting) peer->out_start = peer->out_end = 0;
}

static struct sockaddr_in loopback(int port) {
  return (struct sockaddr_in){
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

// The stand-in: GET answers the value, PING +PONG, everything else +OK.

static void append(struct peer *peer, const char *bytes, size_t size) {
  if (peer->out_end + size > peer->out_size) {
    peer->out_size = 2 * (peer->out_end + size);
    peer->out = realloc(peer->out, peer->out_size);
  }
  memcpy(peer->out + peer->out_end, bytes, size);
  peer->out_end += size;
}

static void reply(struct peer *peer, char name) {
  if ((name | 32) == 'g') append(peer, value_reply, value_reply_size);
  else if ((name | 32) == 'p') append(peer, "+PONG\r\n", 7);
  else append(peer, "+OK\r\n", 5);
}

static void end_of_line(struct peer *peer) {
  if (peer->line_type == '*') {
    peer->arguments = peer->number;
    peer->named = false;
  } else if (peer->line_type == '$') {
    peer->skip = peer->number + 2;
  } else if (peer->line_type != 0) {
    reply(peer, peer->line_type);
  }
  peer->line_type = 0;
  peer->number = 0;
}

static void parse(struct peer *peer, const char *bytes, const char *end) {
  while (bytes < end) {
    if (peer->skip > 0) {
      if (!peer->named) {
        peer->name = *bytes;
        peer->named = true;
      }
      size_t some = peer->skip < (size_t)(end - bytes) ? peer->skip : (size_t)(end - bytes);
      bytes += some;
      peer->skip -= some;
      if (peer->skip == 0 && --peer->arguments == 0) reply(peer, peer->name);
      continue;
    }
    char byte = *bytes++;
    if (byte == '\n') end_of_line(peer);
    else if (peer->line_type == 0 && byte != '\r') peer->line_type = byte;
    else if (byte >= '0' && byte <= '9') peer->number = peer->number * 10 + (byte - '0');
  }
}

static void serve(struct peer *peer) {
  ssize_t size = recv(peer->fd, chunk, CHUNK, 0);
  if (size < 0 && errno == EAGAIN) return;
  if (size <= 0) {
    drop(peer);
    return;
  }
  parse(peer, chunk, chunk + size);
  if (peer->out_end > 0 && !peer->waiting) flush(peer);
}

// The clients.

static void begin_batch(struct peer *peer) {
  peer->out = batch;
  peer->out_start = 0;
  peer->out_end = batch_size;
  peer->owed = depth;
  peer->sent_at = now();
  budget = budget > depth ? budget - depth : 0;
  flush(peer);
}

static void take_replies(struct peer *peer) {
  ssize_t size = recv(peer->fd, chunk, CHUNK, 0);
  if (size < 0 && errno == EAGAIN) return;
  if (size <= 0) fail("the proxy closed a connection");
  size_t compared = size < COMPARED ? (size_t)size : COMPARED;
  if (memcmp(chunk, expected + peer->position, compared) != 0) fail("a wrong reply: %.60s", chunk);
  size_t bytes = peer->position + size, count = bytes / reply_size;
  peer->position = bytes % reply_size;
  if (count > peer->owed) fail("more replies than requests");
  if (count == 0) return;
  answered += count;
  peer->owed -= count;
  record(now() - peer->sent_at, count);
  if (peer->owed == 0 && budget > 0) begin_batch(peer);
}

static void accept_one(struct peer *listener) {
  int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK);
  if (fd >= 0) add(fd, SERVER);
}

static void turn(int timeout_ms) {
  struct epoll_event events[512];
  int count = epoll_wait(epoll, events, 512, timeout_ms);
  for (int i = 0; i < count; i++) {
    struct peer *peer = events[i].data.ptr;
    uint32_t what = events[i].events;
    if (what & EPOLLOUT) flush(peer);
    if (!(what & ~EPOLLOUT)) continue;
    switch (peer->kind) {
      case SERVER: serve(peer); break;
      case CLIENT: take_replies(peer); break;
      case LISTENER: accept_one(peer); break;
      case COMMANDS:
        // Hung up: the benchmark that commands us is gone.
        if (what & (EPOLLHUP | EPOLLERR)) exit(0);
        commanded = true;
    }
  }
}

static void prepare(bool set, size_t wanted_depth, size_t value) {
  if (wanted_depth < 1 || wanted_depth > MAX_DEPTH || value < 1 || value > MAX_VALUE) fail("depth or bytes");
  size_t request_limit = value + 128;
  depth = wanted_depth;
  batch = realloc(batch, depth * request_limit);
  int size = sprintf(batch, set ? "*3\r\n$3\r\nSET\r\n$16\r\nkey:000000001234\r\n$%zu\r\n"
                                : "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000001234\r\n", value);
  if (set) {
    memset(batch + size, 'y', value);
    memcpy(batch + size + value, "\r\n", 2);
    size += value + 2;
  }
  for (size_t i = 1; i < depth; i++) memcpy(batch + i * size, batch, size);
  batch_size = depth * size;

  value_reply_size = sprintf(value_reply, "$%zu\r\n", value);
  memset(value_reply + value_reply_size, 'x', value);
  value_reply_size += value;
  memcpy(value_reply + value_reply_size, "\r\n", 2);
  value_reply_size += 2;
  // Replies one after the other, long enough to compare from any position within the first.
  reply_size = set ? 5 : value_reply_size;
  expected = realloc(expected, 2 * reply_size + COMPARED);
  for (size_t i = 0; i < 2 * reply_size + COMPARED; i++) {
    expected[i] = (set ? "+OK\r\n" : value_reply)[i % reply_size];
  }
}

static void open_clients(int port, int count) {
  if (count < 1 || count > MAX_CLIENTS) fail("expected 1..%d connections", MAX_CLIENTS);
  struct sockaddr_in address = loopback(port);
  for (client_count = 0; client_count < count; client_count++) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
      fail("connection %d: %s", client_count + 1, strerror(errno));
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    clients[client_count] = add(fd, CLIENT);
    turn(0);
  }
}

static void settle(void) {
  uint64_t until = now() + PATIENCE_MS * 1000000ull;
  for (int i = 0; i < client_count; i++) {
    while (clients[i]->owed > 0) {
      if (now() > until) fail("no reply within %d ms", PATIENCE_MS);
      turn(10);
    }
  }
}

// Each client sends a batch, and further ones as long as the budget of requests lasts.
static void load(uint64_t requests) {
  budget = requests;
  forget();
  for (int i = 0; i < client_count && budget > 0; i++) begin_batch(clients[i]);
}

static void close_clients(void) {
  for (int i = 0; i < client_count; i++) drop(clients[i]);
  client_count = 0;
  // The proxy closes its side.
  for (uint64_t until = now() + 20000000; now() < until;) turn(1);
}

static void run(int port, bool set, int connections, size_t wanted_depth, size_t value, int ms) {
  prepare(set, wanted_depth, value);
  open_clients(port, connections);
  load(UINT64_MAX);
  for (uint64_t until = now() + WARM_UP_MS * 1000000ull; now() < until;) turn(1);
  forget();
  uint64_t start = now(), end = start + ms * 1000000ull;
  printf("warm\n");
  while (now() < end) turn(1);
  double seconds = (now() - start) / 1e9;
  printf("done\n");
  printf("result %.6f %llu %.1f %.1f\n", seconds, (unsigned long long)answered, percentile_us(0.5),
         percentile_us(0.99));
  budget = 0;
  settle();
  close_clients();
}

static uint64_t fetch(uint64_t requests) {
  load(requests);
  settle();
  return answered;
}

static void obey(const char *line) {
  int port, connections, ms;
  size_t wanted_depth, value;
  unsigned long long requests;
  char op[4];
  if (sscanf(line, "run %d %3s %d %zu %zu %d", &port, op, &connections, &wanted_depth, &value, &ms) == 6) {
    run(port, strcmp(op, "set") == 0, connections, wanted_depth, value, ms);
  } else if (sscanf(line, "hold %d %d", &port, &connections) == 2) {
    prepare(false, 1, 3);
    open_clients(port, connections);
    printf("held %llu\n", (unsigned long long)fetch(connections));
  } else if (sscanf(line, "fetch %llu", &requests) == 1) {
    printf("fetched %llu\n", (unsigned long long)fetch(requests));
  } else if (strncmp(line, "drop", 4) == 0) {
    close_clients();
    printf("dropped\n");
  } else {
    fail("not a command: %s", line);
  }
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  setvbuf(stdin, NULL, _IONBF, 0);
  epoll = epoll_create1(0);
  prepare(false, 1, 3);

  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  if (bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 4096) != 0) {
    fail("listen: %s", strerror(errno));
  }
  getsockname(listener, (struct sockaddr *)&address, &size);
  add(listener, LISTENER);
  add(STDIN_FILENO, COMMANDS);
  printf("listening %d\n", ntohs(address.sin_port));

  char line[256];
  for (;;) {
    turn(-1);
    if (!commanded) continue;
    commanded = false;
    if (fgets(line, sizeof line, stdin) == NULL) return 0;
    obey(line);
  }
}
