/* function_task.c: the worker's side of the function engine.
 *
 * CRASH: the position is stored before the function is called, so that the tool knows which
 * input a dead worker was on; what it had done before in the same task is lost with it, and
 * done again. */
#define _GNU_SOURCE
#include "function_task.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kin/time.h>

/* A task that runs longer, or has written more, hands the rest of its inputs back, so that other
 * workers can take them. */
#define LONG_ENOUGH  ((int64_t)10000000)
#define LARGE_ENOUGH ((size_t)1 << 20)

static struct {
    kin_map_function *function;
    int announce;
    kin_function task;
    /* Of the worker: */
    FILE *output; /* into `bytes` */
    char *bytes;
    size_t size, room;
    struct task_reply *reply;
} worker;

static int run_task(const void *bytes, size_t size, kin_reply *reply);

void task_prepare(kin_map_function *function, const char *name, int announce)
{
    worker.function = function;
    worker.announce = announce;
    worker.task = (kin_function){.name = name, .bytes = run_task};
}

const kin_function *task_function(void)
{
    return &worker.task;
}

/* A stream of our own, not open_memstream: that one crashes when the function, whose standard output it is too,
 * takes its buffer away (setvbuf). */
static ssize_t append(void *context, const char *bytes, size_t size)
{
    (void)context;
    if (size > worker.room - worker.size) {
        size_t room = (worker.size + size) * 2;
        char *grown = realloc(worker.bytes, room);
        if (grown == NULL) return 0; /* an error of the stream */
        worker.bytes = grown;
        worker.room = room;
    }
    memcpy(worker.bytes + worker.size, bytes, size);
    worker.size += size;
    return (ssize_t)size;
}

int task_initialize(void *context)
{
    (void)context;
    int null = open("/dev/null", O_RDONLY);
    if (null < 0) return -errno;
    int rc = dup2(null, STDIN_FILENO) < 0 ? -errno : 0;
    if (null != STDIN_FILENO) close(null);
    worker.output = fopencookie(NULL, "w", (cookie_io_functions_t){.write = append});
    /* What it prints is the job's output too, as it is that of a command. */
    if (worker.output != NULL) stdout = worker.output;
    worker.reply = calloc(1, sizeof *worker.reply + TASK_INPUTS_MOST * sizeof worker.reply->entries[0]);
    return worker.output == NULL || worker.reply == NULL ? -ENOMEM : rc;
}

static void run_one(const char *input, struct task_entry *entry)
{
    size_t before = worker.size;
    entry->code = worker.function(input, worker.output);
    if (fflush(worker.output) != 0 && entry->code == 0) entry->code = errno;
    entry->ended = kin_clock();
    entry->size = worker.size - before;
}

static uint32_t run_inputs(const struct task_argument *argument, struct task_entry *entries, int64_t started)
{
    struct task_shared *shared = argument->shared;
    struct task_progress *progress = &shared->progress[argument->place];
    const char *input = (const char *)(argument + 1);
    uint32_t done = 0;
    while (done < argument->count) {
        /* Relaxed: it only has to be seen soon. */
        if (atomic_load_explicit(&shared->stop, memory_order_relaxed) != 0) break;
        /* Relaxed: read when this process is dead. */
        atomic_store_explicit(&progress->position, done + 1, memory_order_relaxed);
        run_one(input, &entries[done]);
        input += strlen(input) + 1;
        if (entries[done++].ended - started > LONG_ENOUGH || worker.size > LARGE_ENOUGH) break;
    }
    return done;
}

static int run_task(const void *bytes, size_t size, kin_reply *reply)
{
    struct task_reply *head = worker.reply;
    const struct task_argument *argument = bytes;
    (void)size;
    worker.size = 0;
    head->started = kin_clock();
    head->done = run_inputs(argument, head->entries, head->started);
    int rc = kin_reply_write(reply, head, sizeof *head + head->done * sizeof head->entries[0]);
    if (rc == 0) rc = kin_reply_write(reply, worker.bytes, worker.size);
    /* A full pipe has enough in it to wake the tool. */
    ssize_t ignored = write(worker.announce, &argument->place, sizeof argument->place);
    (void)ignored;
    return rc;
}
