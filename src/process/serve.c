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

#define PAGE 4096

/* A child that runs. */
struct ward {
    int pid;
    uint64_t sequence;
};

/* A request and its order, as they came. */
struct inquiry {
    struct kin__request request;
    char order[KIN__REQUEST_MOST - sizeof(struct kin__request)];
};

struct server {
    int control;
    int ends;
    int watch;
    struct inquiry *inquiry;
    int descriptors[KIN__HANDOVER_MOST];
    size_t descriptor_count;
    /* The function that was wanted last, and where it is: most clients want one again and again. */
    struct kin__program_place known;
    const void *known_address;
    struct ward *wards;
    size_t count, capacity;
    struct kin__end_report unsent; /* while `has_unsent`: it was not taken, and no other is collected */
    bool has_unsent;
};

/* ---- in the child ------------------------------------------------------------------------------- */

/* `own` is a descriptor of this process. */
KIN__CHILD_CODE static void answer(const struct server *server, int own, int error,
                                   const struct kin__setting *setting)
{
    struct kin__answer answer = {.sequence = server->inquiry->request.sequence,
                                 .pid = kin__os_pid(),
                                 .error = error,
                                 .step = setting->step,
                                 .item = setting->item};
    struct kin__part part = {&answer, sizeof answer};
    int rc = kin__os_handover_send(server->control, &part, 1, &own, own >= 0);
    if (own >= 0) kin__os_close(own);
    kin__os_close(server->control);
    if (error < 0 || rc < 0) kin__os_exit_now(255);
}

/* The streams that came with the request; the server's own are /dev/null. */
static int take_streams(const bool streams[3], const int **next)
{
    for (int i = 0; i < 3; i++) {
        if (!streams[i]) continue;
        int rc = kin__os_descriptor_move(*(*next)++, i);
        if (rc < 0) return rc;
    }
    return 0;
}

static int take_order(struct inquiry *inquiry, const int **next, struct kin__order **order)
{
    *order = (struct kin__order *)(void *)inquiry->order;
    if (!inquiry->request.filed) return 0;
    int descriptor = *(*next)++;
    int rc = kin__order_read(descriptor, order);
    kin__os_close(descriptor);
    return rc;
}

KIN__CHILD_CODE static int get_ready(struct server *server, const void *target, struct kin__setting *setting,
                                     struct kin__work *work)
{
    struct kin__order *order;
    const int *next = server->descriptors, *end = next + server->descriptor_count;
    int rc = take_order(server->inquiry, &next, &order), control_group = -1;
    if (rc < 0) return rc;
    const int *own = next;
    next += KIN__REQUEST_STREAMS;
    rc = kin__child_adopt(own[KIN__REQUEST_LIFELINE]);
    if (rc == 0) rc = kin__os_directory_enter(own[KIN__REQUEST_DIRECTORY]);
    kin__os_close(own[KIN__REQUEST_DIRECTORY]);
    if (rc == 0) rc = take_streams(server->inquiry->request.streams, &next);
    if (rc == 0 && order->has_group) control_group = *next++;
    if (rc == 0 && end - next != (ptrdiff_t)order->connection_count + (ptrdiff_t)order->descriptor_count)
        rc = -EMFILE;
    if (rc == 0) rc = kin__order_unpack(order, next, target, work);
    /* Last: with its limits it might not be able to do the rest. */
    return rc == 0 ? kin__order_settle(order, control_group, setting) : rc;
}

KIN__CHILD_CODE __attribute__((noreturn)) static void be_child(struct server *server, const void *target)
{
    struct kin__work work;
    struct kin__setting setting = KIN__SETTING_NONE;
    kin__os_children_unwatch(server->watch);
    kin__os_close(server->ends);
    int own = kin__os_process_open(kin__os_pid());
    int rc = own < 0 ? own : get_ready(server, target, &setting, &work);
    answer(server, own, rc, &setting);
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
    struct kin__part part = {&answer, sizeof answer};
    kin__os_handover_send(server->control, &part, 1, NULL, 0);
}

/* Looked for here, once for many children.  What is not loaded the child loads: NULL. */
static const void *find_target(struct server *server)
{
    const struct kin__order *order = (const void *)server->inquiry->order;
    if (server->inquiry->request.filed) return NULL;
    if (server->known_address == NULL || memcmp(&server->known, &order->target, sizeof server->known) != 0) {
        server->known = order->target;
        server->known_address = kin__os_place_loaded(&order->target);
    }
    return server->known_address;
}

static bool is_whole(const struct server *server, long got)
{
    const struct inquiry *inquiry = server->inquiry;
    size_t least = KIN__REQUEST_STREAMS + inquiry->request.filed,
           size = (size_t)got - sizeof inquiry->request;
    if (got < (long)sizeof inquiry->request || server->descriptor_count < least) return false;
    return inquiry->request.filed || kin__order_is_good(inquiry->order, size);
}

/* False when the client is gone. */
KIN__CHILD_CODE static bool serve_one(struct server *server)
{
    long got = kin__os_handover_receive(server->control, server->inquiry, sizeof *server->inquiry,
                                        server->descriptors, &server->descriptor_count, false);
    if (got == -EAGAIN) return true;
    if (got < (long)sizeof server->inquiry->request && got != -EMFILE) return false;
    uint64_t sequence = server->inquiry->request.sequence;
    int rc = is_whole(server, got) ? make_room(server) : -EMFILE;
    if (rc == 0) {
        const void *target = find_target(server);
        rc = kin__os_fork();
        if (rc == 0) be_child(server, target);
    }
    if (rc > 0)
        server->wards[server->count++] = (struct ward){rc, sequence};
    else
        refuse(server, sequence, rc);
    for (size_t i = 0; i < server->descriptor_count; i++) kin__os_close(server->descriptors[i]);
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

/* False when the client is gone. */
static bool do_what_comes(struct server *server)
{
    struct kin__poll items[] = {
        {.descriptor = server->control},
        {.descriptor = server->watch},
        {.descriptor = server->has_unsent ? server->ends : -1, .write = true},
    };
    bool news = kin__os_poll(items, 3, KIN_FOREVER) > 0;
    if (news && (items[1].ready || items[2].ready)) report_ends(server);
    return !news || !items[0].ready || serve_one(server);
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

/* From the beginning of a page on, so that few are copied for each child. */
static int make_inquiry(struct server *server)
{
    char *room = kin__os_malloc(sizeof *server->inquiry + PAGE);
    if (room == NULL) return -ENOMEM;
    server->inquiry = (struct inquiry *)(void *)(room + (PAGE - (uintptr_t)room % PAGE) % PAGE);
    return 0;
}

int kin__serve(struct kin__order *order)
{
    struct server server = {.control = order->control, .ends = order->ends};
    int rc = make_inquiry(&server);
    if (rc == 0) rc = kin__os_set_inherit(server.control, false);
    if (rc == 0) rc = kin__os_set_inherit(server.ends, false);
    if (rc == 0) rc = preload(order);
    /* Each mapping is copied for each child. */
    kin__os_memory_unmap(order, order->size);
    if (rc == 0) rc = let_streams_go();
    if (rc == 0) rc = server.watch = kin__os_children_watch();
    if (rc < 0) return 255;
    while (do_what_comes(&server)) continue;
    return 0;
}
