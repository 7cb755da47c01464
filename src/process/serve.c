/* serve.c: the start server's side; see server.h.
 *
 * It has one thread, runs nothing of the user's but the preload function, and is no member of the
 * family.  It waits for nobody but its client: what it sends, the client takes, or it is kept.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "os/handover.h"
#include "os/os.h"
#include "os/socket.h"
#include "os/spawn.h"
#include "process/fork.h"
#include "process/server.h"

/* A child that runs. */
struct ward {
    int pid;
    uint64_t sequence;
};

struct server {
    int control;
    int ends;
    int watch;
    struct ward *wards;
    size_t count, capacity;
    struct kin__end_report unsent; /* while `has_unsent`: it was not taken, and no other is collected */
    bool has_unsent;
};

struct inquiry {
    struct kin__request request;
    int descriptors[KIN__HANDOVER_MOST];
    size_t count;
};

/* ---- in the child ------------------------------------------------------------------------------- */

static void answer(int control, uint64_t sequence, int error)
{
    struct kin__answer answer = {.sequence = sequence, .pid = kin__os_pid(), .error = error};
    int own = error < 0 ? error : kin__os_process_open(answer.pid);
    if (own < 0) answer.error = own;
    int rc = kin__os_handover_send(control, &answer, sizeof answer, &own, own >= 0);
    if (own >= 0) kin__os_close(own);
    kin__os_close(control);
    if (answer.error < 0 || rc < 0) kin__os_exit_now(255);
}

/* The streams that came with the request; the server's own are /dev/null. */
static int take_streams(const struct inquiry *inquiry, size_t *place)
{
    for (int i = 0; i < 3; i++) {
        if (!inquiry->request.streams[i]) continue;
        int rc = kin__os_descriptor_move(inquiry->descriptors[(*place)++], i);
        if (rc < 0) return rc;
    }
    return 0;
}

static int get_ready(const struct inquiry *inquiry, struct kin__work *work)
{
    struct kin__order *order;
    size_t place = KIN__REQUEST_STREAMS;
    int rc = kin__child_adopt(inquiry->descriptors[KIN__REQUEST_LIFELINE]);
    if (rc == 0) rc = kin__os_directory_enter(inquiry->descriptors[KIN__REQUEST_DIRECTORY]);
    if (rc == 0) rc = take_streams(inquiry, &place);
    if (rc == 0) rc = kin__order_read(inquiry->descriptors[KIN__REQUEST_ORDER], &order);
    if (rc == 0 && inquiry->count != place + order->connection_count + order->descriptor_count) rc = -EMFILE;
    if (rc == 0) rc = kin__order_unpack(order, inquiry->descriptors + place, work);
    kin__os_close(inquiry->descriptors[KIN__REQUEST_DIRECTORY]);
    kin__os_close(inquiry->descriptors[KIN__REQUEST_ORDER]);
    return rc;
}

__attribute__((noreturn)) static void be_child(struct server *server, const struct inquiry *inquiry)
{
    struct kin__work work;
    kin__os_children_unwatch(server->watch);
    kin__os_close(server->ends);
    int rc = get_ready(inquiry, &work);
    answer(server->control, inquiry->request.sequence, rc);
    kin__os_free(server->wards);
    kin__os_exit_now(kin__child_finish(work.target(work.argument)));
}

/* ---- in the server --------------------------------------------------------------------------------- */

static int make_room(struct server *server)
{
    if (server->count < server->capacity) return 0;
    size_t capacity = server->capacity == 0 ? 64 : server->capacity * 2;
    struct ward *larger = kin__os_realloc(server->wards, capacity * sizeof *larger);
    if (larger == NULL) return -ENOMEM;
    server->wards = larger;
    server->capacity = capacity;
    return 0;
}

static void refuse(struct server *server, uint64_t sequence, int error)
{
    struct kin__answer answer = {.sequence = sequence, .error = error};
    kin__os_handover_send(server->control, &answer, sizeof answer, NULL, 0);
}

/* False when the client is gone. */
static bool serve_one(struct server *server)
{
    struct inquiry inquiry;
    long got = kin__os_handover_receive(server->control, &inquiry.request, sizeof inquiry.request,
                                        inquiry.descriptors, &inquiry.count, false);
    if (got == -EAGAIN) return true;
    if (got != (long)sizeof inquiry.request && got != -EMFILE) return false;
    bool whole = got > 0 && inquiry.count >= KIN__REQUEST_STREAMS;
    int rc = whole ? make_room(server) : -EMFILE;
    if (rc == 0) rc = kin__os_fork();
    if (rc == 0) be_child(server, &inquiry);
    if (rc > 0)
        server->wards[server->count++] = (struct ward){rc, inquiry.request.sequence};
    else
        refuse(server, inquiry.request.sequence, rc);
    for (size_t i = 0; i < inquiry.count; i++) kin__os_close(inquiry.descriptors[i]);
    return true;
}

static bool forget_ward(struct server *server, int pid, uint64_t *sequence)
{
    for (size_t i = 0; i < server->count; i++) {
        if (server->wards[i].pid != pid) continue;
        *sequence = server->wards[i].sequence;
        server->wards[i] = server->wards[--server->count];
        return true;
    }
    return false;
}

static bool send_report(struct server *server)
{
    struct kin__part part = {&server->unsent, sizeof server->unsent};
    server->has_unsent = kin__os_send(server->ends, &part, 1, -1, false) == -EAGAIN;
    return !server->has_unsent;
}

/* What is not ours was somebody's whom a child has left behind. */
static void report_ends(struct server *server)
{
    kin__os_children_look(server->watch);
    if (server->has_unsent && !send_report(server)) return;
    for (int pid; (pid = kin__os_child_collect(&server->unsent.status)) > 0;)
        if (forget_ward(server, pid, &server->unsent.sequence) && !send_report(server)) return;
}

static void await_news(const struct server *server)
{
    struct kin__poll items[] = {
        {.descriptor = server->control},
        {.descriptor = server->watch},
        {.descriptor = server->has_unsent ? server->ends : -1, .write = true},
    };
    kin__os_poll(items, 3, KIN_FOREVER);
}

/* What is printed there is the children's, to whom it comes with the request. */
static int let_streams_go(void)
{
    kin__os_flush();
    for (int i = 0; i < 3; i++) {
        int null = kin__os_open_null();
        int rc = null < 0 ? null : kin__os_descriptor_move(null, i);
        if (rc < 0) return rc;
    }
    return 0;
}

static int preload(const struct kin__order *order)
{
    const void *function;
    if (!order->has_target) return 0;
    int rc = kin__os_place_find(&order->target, &function);
    if (rc == 0) ((void (*)(void))(uintptr_t)function)();
    return rc;
}

int kin__serve(struct kin__order *order)
{
    struct server server = {.control = order->control, .ends = order->ends};
    int rc = kin__os_set_inherit(server.control, false);
    if (rc == 0) rc = kin__os_set_inherit(server.ends, false);
    if (rc == 0) rc = preload(order);
    if (rc == 0) rc = let_streams_go();
    if (rc == 0) rc = server.watch = kin__os_children_watch();
    if (rc < 0) return 255;
    do {
        await_news(&server);
        report_ends(&server);
    } while (serve_one(&server));
    return 0;
}
