/* relay.c: see relay.h. */
#define _GNU_SOURCE
#include "support/relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <kin/time.h>

#include "support/test.h"

#define PAIRS 32
#define PIECE 4096

struct relay_state {
    atomic_long asked; /* cuts */
    atomic_long done;
    atomic_long broken; /* connections, by the last cut */
    atomic_long admits; /* so many more; -1: all */
    atomic_long opened;
};

/* Bytes on their way. */
struct piece {
    struct piece *next;
    kin_deadline due;
    size_t size; /* 0: the end */
    char bytes[PIECE];
};

/* [0] the client's side, [1] the server's; `way` are for that side. */
struct pair {
    int socket[2]; /* -1: free */
    struct piece *way[2];
    bool ended[2]; /* nothing more comes from that side */
};

static struct pair pairs[PAIRS];

static struct sockaddr_in local(int port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
}

static void break_pair(struct pair *pair)
{
    for (int side = 0; side < 2; side++) {
        /* At once, and so that both notice. */
        const struct linger none = {.l_onoff = 1};
        setsockopt(pair->socket[side], SOL_SOCKET, SO_LINGER, &none, sizeof none);
        close(pair->socket[side]);
        pair->socket[side] = -1;
        pair->ended[side] = false;
        while (pair->way[side] != NULL) {
            struct piece *piece = pair->way[side];
            pair->way[side] = piece->next;
            free(piece);
        }
    }
}

static long cut(void)
{
    long broken = 0;
    for (int i = 0; i < PAIRS; i++) {
        if (pairs[i].socket[0] < 0) continue;
        break_pair(&pairs[i]);
        broken++;
    }
    return broken;
}

static void let_in(int listener, int port)
{
    struct pair *pair = pairs;
    struct sockaddr_in to = local(port);
    int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0) return;
    while (pair < pairs + PAIRS && pair->socket[0] >= 0) pair++;
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (pair == pairs + PAIRS || connect(server, (struct sockaddr *)&to, sizeof to) != 0) {
        close(client);
        close(server);
        return;
    }
    fcntl(server, F_SETFL, O_NONBLOCK);
    for (int side = 0; side < 2; side++) pair->socket[side] = side == 0 ? client : server;
    for (int side = 0; side < 2; side++)
        setsockopt(pair->socket[side], IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
}

/* Takes what has come from a side, for the other one. */
static void take(struct pair *pair, int side, kin_deadline due)
{
    struct piece **last = &pair->way[!side], *piece = calloc(1, sizeof *piece);
    ssize_t got = recv(pair->socket[side], piece->bytes, PIECE, 0);
    if (got < 0) {
        free(piece);
        if (errno != EAGAIN) break_pair(pair);
        return;
    }
    pair->ended[side] = got == 0;
    piece->size = (size_t)got;
    piece->due = due;
    while (*last != NULL) last = &(*last)->next;
    *last = piece;
}

/* Gives a side what is due. */
static void give(struct pair *pair, int side)
{
    while (pair->socket[side] >= 0 && pair->way[side] != NULL && pair->way[side]->due <= kin_clock()) {
        struct piece *piece = pair->way[side];
        if (piece->size == 0) {
            shutdown(pair->socket[side], SHUT_WR);
        } else {
            ssize_t sent = send(pair->socket[side], piece->bytes, piece->size, MSG_NOSIGNAL);
            if (sent < 0 && errno == EAGAIN) return;
            if (sent < 0) {
                break_pair(pair);
                return;
            }
            memmove(piece->bytes, piece->bytes + sent, piece->size - (size_t)sent);
            piece->size -= (size_t)sent;
            if (piece->size > 0) return;
        }
        pair->way[side] = piece->next;
        free(piece);
    }
    if (pair->ended[0] && pair->ended[1] && pair->way[0] == NULL && pair->way[1] == NULL) break_pair(pair);
}

static void run(struct relay_state *state, int listener, int port, unsigned delay_ms)
{
    for (int i = 0; i < PAIRS; i++) pairs[i].socket[0] = pairs[i].socket[1] = -1;
    for (;;) {
        long admits = atomic_load(&state->admits);
        struct pollfd items[1 + 2 * PAIRS] = {{.fd = admits != 0 ? listener : -1, .events = POLLIN}};
        for (int i = 0; i < 2 * PAIRS; i++)
            items[1 + i] = (struct pollfd){.fd = pairs[i / 2].ended[i % 2] ? -1 : pairs[i / 2].socket[i % 2],
                                           .events = POLLIN};
        poll(items, 1 + 2 * PAIRS, 1);
        long asked = atomic_load(&state->asked);
        if (atomic_load(&state->done) < asked) {
            atomic_store(&state->broken, cut());
            atomic_store(&state->done, asked);
            continue;
        }
        for (int i = 0; i < 2 * PAIRS; i++) {
            if (items[1 + i].revents != 0 && pairs[i / 2].socket[i % 2] == items[1 + i].fd)
                take(&pairs[i / 2], i % 2, kin_in_ms(delay_ms));
        }
        for (int i = 0; i < 2 * PAIRS; i++) give(&pairs[i / 2], i % 2);
        if (items[0].revents == 0) continue;
        let_in(listener, port);
        atomic_fetch_add(&state->opened, 1);
        if (admits > 0) atomic_compare_exchange_strong(&state->admits, &admits, admits - 1);
    }
}

struct relay relay_start(const char *to, unsigned delay_ms)
{
    struct relay relay = {.state = test_shared(sizeof *relay.state)};
    struct sockaddr_in name = local(0);
    socklen_t length = sizeof name;
    int port = 0, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    atomic_store(&relay.state->admits, -1);
    CHECK_EQ(sscanf(to, "tcp://127.0.0.1:%d", &port), 1);
    CHECK_OK(bind(listener, (struct sockaddr *)&name, sizeof name));
    CHECK_OK(listen(listener, PAIRS));
    CHECK_OK(getsockname(listener, (struct sockaddr *)&name, &length));
    snprintf(relay.address, sizeof relay.address, "tcp://127.0.0.1:%d", ntohs(name.sin_port));
    relay.process = fork();
    CHECK_OK(relay.process);
    if (relay.process == 0) {
        signal(SIGPIPE, SIG_IGN);
        run(relay.state, listener, port, delay_ms);
    }
    close(listener);
    return relay;
}

long relay_cut(struct relay *relay)
{
    long number = atomic_fetch_add(&relay->state->asked, 1) + 1;
    test_until(atomic_load(&relay->state->done) >= number);
    return atomic_load(&relay->state->broken);
}

long relay_opened(const struct relay *relay)
{
    return atomic_load(&relay->state->opened);
}

void relay_admit(struct relay *relay, long most)
{
    atomic_store(&relay->state->admits, most);
}

void relay_end(struct relay *relay)
{
    kill(relay->process, SIGKILL);
    test_collect(relay->process);
}
