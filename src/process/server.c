/* server.c: the client's side of its start server; see server.h.
 *
 * Invariants: `starting` is held from a request to its answer.  What names the server changes under it
 * and kin__child_lock both, and is read under either.  It belongs to the process `owner`: a child that was
 * forked has inherited it, without the sockets, and begins a server of its own.
 */
#include "process/server.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include <kin/error.h>

#include "ipc/handle.h"
#include "os/handover.h"
#include "os/os.h"
#include "os/socket.h"
#include "os/spawn.h"
#include "process/fork.h"

/* How often it is looked whether the child has ended instead of answering. */
#define SLICE_MS 20

/* How long the server may take to end when its client does. */
#define END_MS 1000

static pthread_mutex_t starting = PTHREAD_MUTEX_INITIALIZER;

/* Set before `starting` is taken for the first time.  Where it is not, a child need not touch that lock, nor
 * have its page copied. */
static atomic_bool in_use;

static struct {
    int owner;
    int pid; /* 0: there is none */
    uint64_t generation;
    struct kin__handle descriptor, control, ends;
    struct kin__program_place preload;
    bool has_preload;
} server;

KIN__CHILD_CODE static void start_anew_in_child(void)
{
    if (atomic_load(&in_use)) starting = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

static void lock_start(void)
{
    atomic_store(&in_use, true);
    pthread_mutex_lock(&starting);
}

__attribute__((constructor)) static void watch_forks(void)
{
    /* It fails only for want of memory, before main. */
    static const struct kin__fork_watch watch = {.child = start_anew_in_child};
    kin__os_watch_forks(KIN__FORK_SERVER, &watch);
}

static bool is_there(void)
{
    return server.pid != 0 && server.owner == kin__os_pid();
}

/* ---- the server's life ------------------------------------------------------------------------- */

/* The sockets between this process and a server; not on the stack: a child forked by another thread meanwhile
 * has them in its list of handles. */
enum { CONTROL, CONTROL_OF_SERVER, ENDS, ENDS_OF_SERVER, SOCKETS };

static int make_sockets(struct kin__handle sockets[SOCKETS])
{
    int rc = 0;
    kin__handles_enter();
    for (int i = 0; i < SOCKETS; i += 2) {
        int pair[2] = {-1, -1};
        if (rc == 0) rc = kin__os_socket_pair(KIN__SOCKET_PACKETS, pair);
        kin__handle_add(&sockets[i], pair[0], true);
        kin__handle_add(&sockets[i + 1], pair[1], true);
    }
    kin__handles_leave();
    return rc;
}

static void describe(struct kin__order *order)
{
    kin__order_sign(order);
    order->server = true;
    order->has_target = server.has_preload;
    order->target = server.preload;
    strcpy(order->name, "server");
}

/* A server that was inherited by fork is the parent's. */
static void forget(void)
{
    kin__handle_close(&server.control);
    kin__handle_close(&server.descriptor);
    kin__handle_close(&server.ends);
    server.pid = 0;
}

static int begin_with(struct kin__handle sockets[SOCKETS])
{
    struct kin__order order;
    struct kin__order_parts parts;
    int descriptor;
    int given[2] = {sockets[CONTROL_OF_SERVER].descriptor, sockets[ENDS_OF_SERVER].descriptor};
    describe(&order);
    kin__order_begin(&parts, &order);
    int rc = kin__program_begin(&order, &parts, given, NULL, &descriptor);
    if (rc < 0) return rc;
    kin__child_lock();
    if (server.pid != 0) forget();
    kin__handle_add(&server.descriptor, descriptor, true);
    kin__handle_move(&server.control, &sockets[CONTROL]);
    kin__handle_move(&server.ends, &sockets[ENDS]);
    server.owner = kin__os_pid();
    server.generation++;
    server.pid = rc;
    kin__child_unlock();
    return 0;
}

static int begin(void)
{
    struct kin__handle *sockets = kin__os_calloc(SOCKETS, sizeof *sockets);
    if (sockets == NULL) return -ENOMEM;
    int rc = make_sockets(sockets);
    if (rc == 0) rc = begin_with(sockets);
    for (int i = 0; i < SOCKETS; i++) kin__handle_close(&sockets[i]);
    kin__os_free(sockets);
    return rc;
}

/* Waits for the end of a server that is told to end, or dead, and forgets it. */
static void bury(void)
{
    kin_exit_status status;
    kin__os_socket_end_sending(server.control.descriptor);
    kin__os_process_await(server.descriptor.descriptor, kin_in_ms(END_MS));
    kin__os_process_signal(server.descriptor.descriptor, SIGKILL);
    kin__os_process_await(server.descriptor.descriptor, KIN_FOREVER);
    kin__os_process_collect(server.descriptor.descriptor, &status);
    kin__processes_look();
    kin__child_lock();
    forget();
    kin__child_unlock();
}

KIN__CHILD_CODE void kin__server_end(void)
{
    if (!atomic_load(&in_use)) return;
    lock_start();
    if (is_there()) bury();
    pthread_mutex_unlock(&starting);
}

int kin__server_pid(void)
{
    kin__child_lock();
    int pid = is_there() ? server.pid : 0;
    kin__child_unlock();
    return pid;
}

int kin__server_preload(void (*function)(void))
{
    struct kin__program_place place;
    int rc = kin__os_place_of((const void *)(uintptr_t)function, &place);
    if (rc < 0) return rc == -ENOENT ? KIN_ENOTCODE : rc;
    lock_start();
    rc = is_there() ? KIN_ESTARTED : 0;
    if (rc == 0) {
        server.preload = place;
        server.has_preload = true;
    }
    pthread_mutex_unlock(&starting);
    return rc;
}

/* ---- reports of ends ----------------------------------------------------------------------------- */

bool kin__server_report(struct kin__end_report *report)
{
    struct kin__part part = {report, sizeof *report};
    return is_there() && kin__os_receive(server.ends.descriptor, &part, 1, NULL, false) == sizeof *report;
}

int kin__server_reports(uint64_t generation)
{
    return is_there() && server.generation == generation ? server.ends.descriptor : -1;
}

/* ---- requests ------------------------------------------------------------------------------------ */

/* What goes with a request.  `own` are this call's until it is sent; they are in the list of handles, so
 * that no process that is forked meanwhile keeps them. */
struct parcel {
    struct kin__request request;
    int descriptors[KIN__HANDOVER_MOST];
    size_t count;
    struct kin__handle own[KIN__REQUEST_STREAMS + 1];
    size_t own_count;
};

static int add_own(struct parcel *parcel, int descriptor)
{
    if (descriptor < 0) return descriptor;
    kin__handle_add(&parcel->own[parcel->own_count++], descriptor, true);
    parcel->descriptors[parcel->count++] = descriptor;
    return 0;
}

static int pack(struct parcel *parcel, const struct kin__order *order, const struct kin__order_parts *parts)
{
    int rc = 0;
    parcel->request.filed = sizeof parcel->request + order->size > KIN__REQUEST_MOST;
    if (parcel->request.filed) rc = add_own(parcel, kin__order_write(parts));
    if (rc == 0) rc = add_own(parcel, kin__child_line());
    if (rc == 0) rc = add_own(parcel, kin__os_directory_open());
    if (rc < 0) return rc;
    for (int i = order->standard_input ? 0 : 1; i < 3; i++) {
        int stream = i == 2 && parts->stderr_end >= 0 ? parts->stderr_end : i;
        parcel->request.streams[i] = kin__os_is_open(stream) == 0;
        if (parcel->request.streams[i]) parcel->descriptors[parcel->count++] = stream;
    }
    if (order->has_group) parcel->descriptors[parcel->count++] = parts->control_group;
    for (uint32_t i = 0; i < order->connection_count + order->descriptor_count; i++)
        parcel->descriptors[parcel->count++] = order->given[i];
    return 0;
}

/* Where it is sent, there is room now for the descriptor that the answer brings. */
static int send(const struct kin__order *order, uint64_t sequence, const struct kin__order_parts *parts)
{
    /* Not on the stack: a child forked by another thread meanwhile has its handles in its list. */
    struct parcel *parcel = kin__os_calloc(1, sizeof *parcel);
    if (parcel == NULL) return -ENOMEM;
    parcel->request.sequence = sequence;
    int rc = pack(parcel, order, parts);
    if (rc == 0) {
        struct kin__part sent[1 + KIN__ORDER_PARTS] = {{&parcel->request, sizeof parcel->request}};
        memcpy(sent + 1, parts->parts, sizeof parts->parts);
        rc = kin__os_handover_send(server.control.descriptor, sent,
                                   parcel->request.filed ? 1 : 1 + KIN__ORDER_PARTS, parcel->descriptors,
                                   parcel->count);
    }
    for (size_t i = 0; i < parcel->own_count; i++) kin__handle_close(&parcel->own[i]);
    kin__os_free(parcel);
    return rc;
}

/* -EPIPE: the server is gone, and nobody has begun.  -EAGAIN: no answer yet. */
static int receive_answer(kin_process *child, struct kin__placement *placement)
{
    struct kin__answer answer;
    int descriptors[KIN__HANDOVER_MOST];
    size_t count;
    long rc = kin__os_handover_receive(server.control.descriptor, &answer, sizeof answer, descriptors, &count,
                                       false);
    if (rc == 0 || rc == -ECONNRESET) return -EPIPE;
    if (rc < 0) return (int)rc;
    if (answer.sequence != child->sequence || (answer.error == 0 && count != 1)) return KIN_ESERVER;
    if (answer.error < 0) {
        placement->setting.step = answer.step;
        placement->setting.item = answer.item;
        for (size_t i = 0; i < count; i++) kin__os_close(descriptors[i]);
        return answer.error;
    }
    kin__process_answered(child, answer.pid, descriptors[0]);
    return 0;
}

static int await_answer(kin_process *child, struct kin__placement *placement)
{
    for (;;) {
        /* `starting` is held: no other coroutine of this thread may run meanwhile. */
        kin__os_process_await(server.control.descriptor, kin_in_ms(SLICE_MS));
        int rc = receive_answer(child, placement);
        if (rc != -EAGAIN) return rc;
        /* It had to answer before its end. */
        if (kin__process_look_at_new(child)) {
            rc = receive_answer(child, placement);
            return rc == -EAGAIN ? KIN_ESERVER : rc;
        }
    }
}

/* Every request has a number of its own: a report of what became of an earlier one is not taken for
 * this one's. */
static int request(kin_process *child, const struct kin__order *order, const struct kin__order_parts *parts,
                   struct kin__placement *placement)
{
    int rc = send(order, kin__process_expect(child), parts);
    if (rc == 0) rc = await_answer(child, placement);
    if (rc < 0) kin__process_expect_no_more(child);
    return rc;
}

/* A server that died while nobody looked is replaced once; one that dies at its beginning is not. */
static int request_of_any(kin_process *child, const struct kin__order *order,
                          const struct kin__order_parts *parts, struct kin__placement *placement)
{
    for (;;) {
        bool new = !is_there();
        int rc = new ? begin() : 0;
        if (rc < 0) return rc;
        child->generation = server.generation;
        rc = request(child, order, parts, placement);
        if (rc != -EPIPE && rc != -ECONNRESET) return rc;
        bury();
        if (new) return KIN_ESERVER;
    }
}

int kin__server_start(kin_process *child, const struct kin__order *order,
                      const struct kin__order_parts *parts, struct kin__placement *placement)
{
    lock_start();
    int rc = request_of_any(child, order, parts, placement);
    pthread_mutex_unlock(&starting);
    return rc;
}
