/* station.c: the log of a family: lines of all its processes, delivered whole to one of them.
 *
 * Lines travel through a pipe that every process holds by a descriptor which can also read, so that
 * writing raises no SIGPIPE whoever has ended.  A line is one write that is no longer than what the
 * kernel keeps whole (PIPE_BUF).  Nothing here takes a lock, so a line may be said anywhere in kin.
 *
 * CRASH: a process that is killed has written its line whole or not at all; a collector that is killed
 * takes the processes that it has started with it, and what others say is dropped and counted.
 */
#define _GNU_SOURCE
#include "process/station.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "memory/region.h"
#include "os/os.h"
#include "os/spawn.h"
#include "os/thread.h"
#include "process/child.h"

#define PIPE_SIZE ((size_t)1 << 20)
#define NAME_SIZE 64

/* What the collector reads at once. */
#define BUFFER_SIZE ((size_t)1 << 16)

/* How long a line waits for room, unless the one before it has waited in vain. */
#define WAIT_MS 20

/* At the end of collecting: how long one may take that is just being said. */
#define SPEAKERS_MS 100

/* In the pipe.  The name and the line follow, each ended by a NUL. */
struct wire {
    uint32_t magic;
    uint16_t size; /* of all */
    uint8_t level; /* 0: the collector is to stop */
    uint8_t name_size;
    int32_t pid;
    int64_t time_ns;
};
#define WIRE_MAGIC 0x6b6c6f67u

struct message {
    struct wire wire;
    char text[NAME_SIZE + KIN__LOG_LINE + 1];
};
_Static_assert(sizeof(struct message) <= PIPE_BUF, "a line is written whole");

/* PRIVATE.  The pipe as this process has it; its identity, as the program may have closed it and got
 * the number for something else.  Atomic: a thread that is late with its line may look at any time. */
static struct {
    _Atomic int descriptor; /* -1: none */
    _Atomic uint64_t device;
    _Atomic uint64_t inode;
    _Atomic bool full;         /* the last line found no room */
    _Atomic unsigned speakers; /* threads that are just saying a line */
} line_out = {.descriptor = -1};

/* PRIVATE to the process that collects. */
static struct {
    _Atomic int owner; /* 0: not collecting */
    uintptr_t thread;
    kin_log_collector *collector;
    void *context;
} station;

static struct kin__log_place *place(void)
{
    return &kin__family.header->log;
}

/* ---- saying ------------------------------------------------------------------------------------------ */

static bool is_open(void)
{
    uint64_t device, inode, size;
    int descriptor = atomic_load(&line_out.descriptor);
    return descriptor >= 0 && kin__os_file_identity(descriptor, &device, &inode, &size) == 0 &&
           device == atomic_load(&line_out.device) && inode == atomic_load(&line_out.inode);
}

static int write_message(const struct message *message, bool wait)
{
    int descriptor = atomic_load(&line_out.descriptor);
    ssize_t count = kin__os_write(descriptor, message, message->wire.size);
    if (count == -EAGAIN && wait) {
        kin__os_await(descriptor, true, kin_in_ms(WAIT_MS));
        count = kin__os_write(descriptor, message, message->wire.size);
    }
    return count < 0 ? (int)count : 0;
}

static void fill(struct message *message, uint8_t level, const char *line)
{
    size_t name = strnlen(kin__log_process, NAME_SIZE - 1), length = strnlen(line, KIN__LOG_LINE);
    memcpy(message->text, kin__log_process, name);
    message->text[name++] = '\0';
    memcpy(message->text + name, line, length);
    message->text[name + length] = '\0';
    message->wire = (struct wire){.magic = WIRE_MAGIC,
                                  .size = (uint16_t)(sizeof message->wire + name + length + 1),
                                  .level = level,
                                  .name_size = (uint8_t)name,
                                  .pid = kin__os_pid(),
                                  .time_ns = kin__os_time_of_day()};
}

/* Counted when it is lost. */
static void send_message(const struct message *message)
{
    bool was_full = atomic_load_explicit(&line_out.full, memory_order_relaxed);
    bool lost = write_message(message, !was_full) < 0;
    if (lost) atomic_fetch_add_explicit(&place()->lost, 1, memory_order_relaxed);
    if (lost != was_full) atomic_store_explicit(&line_out.full, lost, memory_order_relaxed);
}

static void send_line(enum kin_log_level level, const char *line, void *unused)
{
    struct message message;
    (void)unused;
    atomic_fetch_add(&line_out.speakers, 1);
    /* After the collector's end nobody reads.  Both in one order with what kin_log_collect_end does. */
    if (atomic_load(&place()->collecting) != 0 && is_open()) {
        fill(&message, level > 0 && level < UINT8_MAX ? (uint8_t)level : KIN_LOG_ERROR, line);
        send_message(&message);
    }
    atomic_fetch_sub(&line_out.speakers, 1);
}

static void print_line(enum kin_log_level level, const char *line, void *unused)
{
    char text[KIN__LOG_LINE + NAME_SIZE + 32];
    (void)unused;
    int length = snprintf(text, sizeof text, "[%s/%.*s] %s\n", kin__log_level_name(level), NAME_SIZE,
                          kin__log_process, line);
    if (length > 0) kin__os_write(2, text, (size_t)length);
}

void kin_log_to_stderr(enum kin_log_level level)
{
    kin_log_set(print_line, level, NULL);
}

uint64_t kin_log_lost(void)
{
    return !kin__family_known() ? 0 : atomic_load_explicit(&place()->lost, memory_order_relaxed);
}

/* ---- collecting --------------------------------------------------------------------------------------- */

/* How many bytes of the buffer are done with; *stop once the collector is to stop. */
static size_t deliver(const char *bytes, size_t size, bool *stop)
{
    struct message message;
    size_t at = 0;
    while (!*stop && size - at >= sizeof message.wire) {
        memcpy(&message.wire, bytes + at, sizeof message.wire);
        size_t whole = message.wire.size, text = whole - sizeof message.wire;
        /* Not a line of ours, so there is no saying where the next begins. */
        if (message.wire.magic != WIRE_MAGIC || whole <= sizeof message.wire || whole > sizeof message ||
            message.wire.name_size >= text)
            return size;
        if (size - at < whole) break;
        memcpy(message.text, bytes + at + sizeof message.wire, text);
        message.text[text - 1] = message.text[message.wire.name_size - 1] = '\0';
        at += whole;
        *stop = message.wire.level == 0;
        const kin_log_record record = {.level = message.wire.level,
                                       .pid = message.wire.pid,
                                       .time_ns = message.wire.time_ns,
                                       .process = message.text,
                                       .line = message.text + message.wire.name_size};
        if (!*stop) station.collector(&record, station.context);
    }
    return at;
}

static void *collect(void *memory)
{
    char *buffer = memory;
    size_t size = 0;
    bool stop = false;
    kin__os_thread_name_set("kin-log");
    while (!stop) {
        int descriptor = atomic_load(&line_out.descriptor);
        kin__os_await(descriptor, false, KIN_FOREVER);
        /* The program may have closed it, and the number be another file's. */
        if (!is_open()) break;
        ssize_t count = kin__os_read(descriptor, buffer + size, BUFFER_SIZE - size);
        if (count == -EAGAIN) continue;
        if (count <= 0) break;
        size += (size_t)count;
        size_t done = deliver(buffer, size, &stop);
        memmove(buffer, buffer + done, size - done);
        size -= done;
    }
    kin__os_free(buffer);
    return NULL;
}

/* ---- beginning and ending ------------------------------------------------------------------------------- */

/* The pipe is this process's from now on. */
static int adopt_pipe(int descriptor)
{
    uint64_t device, inode, size;
    int rc = kin__os_file_identity(descriptor, &device, &inode, &size);
    if (rc < 0) {
        kin__os_close(descriptor);
        return rc;
    }
    atomic_store(&line_out.device, device);
    atomic_store(&line_out.inode, inode);
    atomic_store(&line_out.descriptor, descriptor);
    return 0;
}

static int open_pipe(void)
{
    int ends[2];
    int rc = kin__os_pipe_make(ends, 0);
    if (rc < 0) return rc;
    kin__os_pipe_grow(ends[0], PIPE_SIZE); /* where it is allowed */
    rc = kin__os_pipe_both(kin__os_pid(), ends[0]);
    kin__os_close(ends[0]);
    kin__os_close(ends[1]);
    return rc < 0 ? rc : adopt_pipe(rc);
}

static void close_pipe(void)
{
    bool open = is_open();
    int descriptor = atomic_exchange(&line_out.descriptor, -1);
    if (open) kin__os_close(descriptor);
}

/* The place is nobody's, or that of a process that is gone. */
static bool take_place(void)
{
    struct kin__log_place *log = place();
    int before = atomic_load(&log->pid);
    int64_t since = atomic_load(&log->since);
    /* Another has taken it between the two. */
    if (atomic_load(&log->pid) != before) return false;
    if (before != 0 && kin__os_process_gone(before, since != 0 ? since : INT64_MAX) != 1) return false;
    /* Before the pid changes: nobody is to judge the next one by the time of the one before. */
    if (since != 0 && !atomic_compare_exchange_strong(&log->since, &since, 0)) return false;
    if (!atomic_compare_exchange_strong(&log->pid, &before, kin__os_pid())) return false;
    /* CRASH: without a time the pid alone says whether its process is there. */
    atomic_store(&log->since, kin__os_boot_clock());
    return true;
}

static void give_place(void)
{
    atomic_store(&place()->collecting, 0);
    atomic_store(&place()->pid, 0);
}

static int begin(enum kin_log_level level)
{
    struct kin__log_place *log = place();
    void *buffer = kin__os_malloc(BUFFER_SIZE);
    int rc = buffer == NULL ? -ENOMEM : open_pipe();
    if (rc == 0) rc = kin__os_thread_start(&station.thread, collect, buffer, 0);
    if (rc < 0) {
        kin__os_free(buffer);
        close_pipe();
        return rc;
    }
    log->descriptor = atomic_load(&line_out.descriptor);
    log->device = atomic_load(&line_out.device);
    log->inode = atomic_load(&line_out.inode);
    log->level = (uint32_t)level;
    atomic_store(&log->collecting, 1); /* a release: pairs with the loads in join and send_line */
    kin_log_set(send_line, level, NULL);
    atomic_store(&station.owner, kin__os_pid());
    return 0;
}

int kin_log_collect(kin_log_collector *collector, enum kin_log_level level, void *context)
{
    if (collector == NULL || (int)level <= 0) return -EINVAL;
    int rc = kin__enter();
    if (rc == 0) rc = kin__child_prepare();
    if (rc < 0) return rc;
    if (!take_place()) return -EBUSY;
    station.collector = collector;
    station.context = context;
    close_pipe(); /* of a collector whose child this process is */
    rc = begin(level);
    if (rc < 0) give_place();
    return rc;
}

/* Nobody of this process is about to use the descriptor.  A child that was forked while another thread
 * was has one too many for ever, and waits in vain. */
static void await_speakers(void)
{
    kin_deadline deadline = kin_in_ms(SPEAKERS_MS);
    while (atomic_load(&line_out.speakers) > 0 && kin_clock() < deadline) kin__os_yield();
}

int kin_log_collect_end(void)
{
    struct message stop;
    int self = kin__os_pid();
    if (!atomic_compare_exchange_strong(&station.owner, &self, 0)) return -EPERM;
    kin_log_set(NULL, KIN_LOG_ERROR, NULL);
    fill(&stop, 0, "");
    while (is_open() && write_message(&stop, true) == -EAGAIN) continue;
    /* Without the pipe nothing wakes the thread, nor is there anything for it to deliver. */
    if (is_open()) kin__os_thread_join(station.thread, KIN_FOREVER);
    atomic_store(&place()->collecting, 0);
    await_speakers();
    close_pipe();
    give_place();
    return 0;
}

KIN__CHILD_CODE void kin__log_finish(void)
{
    if (atomic_load(&station.owner) != 0) kin_log_collect_end();
}

int kin__log_threads(void)
{
    return atomic_load_explicit(&station.owner, memory_order_relaxed) == kin__os_pid();
}

/* ---- other processes of the family ----------------------------------------------------------------------- */

/* In a process that has joined a family: says to its collector what this one has to say. */
static void join(void)
{
    struct kin__log_place *log = place();
    if (atomic_load(&log->collecting) == 0) return;
    int rc = kin__os_pipe_both(atomic_load(&log->pid), log->descriptor);
    if (rc >= 0) rc = adopt_pipe(rc);
    if (rc < 0) return;
    bool same = atomic_load(&line_out.device) == log->device && atomic_load(&line_out.inode) == log->inode;
    if (same)
        kin_log_set(send_line, (enum kin_log_level)log->level, NULL);
    else
        close_pipe();
}

/* Before region.c joins the family that it was invited to. */
__attribute__((constructor(201))) static void await_family(void)
{
    kin__family_joined = join;
}
