/* engine_function.c: a function of a shared object, in the workers of a pool.
 *
 * Inputs go to the workers in batches that take some milliseconds, so that a short function is
 * not slowed down by being handed out.  A batch whose worker dies is taken apart: the input the
 * worker was on is charged, the others go back unharmed.
 *
 * Invariants: a batch with a result has been submitted and holds its jobs until that result is
 * read; `collecting` is the one that is being filled, and has none yet. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/memory.h>
#include <kin/pool.h>

#include "engine.h"
#include "function_task.h"
#include "loop.h"
#include "run.h"
#include "say.h"

#define BATCH_TIME     ((int64_t)2000000)
#define BATCH_BYTES    ((size_t)64 << 10)
#define BATCHES_A_HEAD 3 /* per worker: one is run, the next wait in the queue */
#define LOOK_INTERVAL  ((int64_t)20000000)

/* How often an input whose worker died is run again when --retries does not say.  Being killed
 * from outside is no fault of the input. */
#define RETRIES_DIED   3
#define RETRIES_KILLED 20

struct batch {
    kin_result *result; /* NULL: not submitted */
    struct job *jobs[TASK_INPUTS_MOST];
    uint32_t count;
};

struct function_engine {
    struct engine base;
    const struct options *options;
    const struct pattern *pattern;
    void *library;
    kin_pool *pool;
    struct task_shared *shared;
    struct watch announced;
    int announce; /* the workers' end */
    struct batch *batches;
    unsigned batch_count;
    unsigned free_count;
    struct batch *collecting;
    struct buffer argument;
    struct command command; /* for inputs that are more than {} */
    uint32_t limit;         /* inputs in a batch, at present */
    double input_time;      /* ns, a running mean; 0: unknown */
    int64_t look;           /* when to look at all results without having been told */
    int64_t stop_deadline;
    char name[256];
};

static struct function_engine *of(const struct engine *engine)
{
    return (struct function_engine *)engine;
}

/* ---- jobs that end -------------------------------------------------------------------------- */

static void give_back(struct function_engine *engine, struct job *job)
{
    engine->base.running--;
    run_job_ended(engine->base.run, job);
}

static void give_back_unrun(struct function_engine *engine, struct job *job)
{
    engine->base.running--;
    run_job_again(engine->base.run, job);
}

static void take_entry(struct function_engine *engine, struct job *job, const struct task_entry *entry,
                       const char *bytes)
{
    int rc = output_add(&job->out, bytes, entry->size);
    job->exit_value = entry->code;
    job->ended = entry->ended;
    if (entry->code != 0) {
        job->outcome = OUTCOME_FAILED;
        const char *words = entry->code < 0 ? kin_strerror(entry->code) : error_words(entry->code);
        buffer_format(&job->reason, "%s returned %d", engine->name, entry->code);
        /* Beyond the codes of the system a number says nothing more. */
        if (entry->code < 0 || strerrorname_np(entry->code) != NULL)
            buffer_format(&job->reason, " (%s)", words);
    } else if (rc < 0) {
        job->outcome = OUTCOME_FAILED;
        buffer_format(&job->reason, "its output cannot be kept in a temporary file: %s", error_words(-rc));
    }
}

static void learn(struct function_engine *engine, const struct task_reply *reply)
{
    if (reply->done == 0) return;
    double mean = (double)(reply->entries[reply->done - 1].ended - reply->started) / reply->done;
    engine->input_time = engine->input_time == 0 ? mean : engine->input_time * 0.7 + mean * 0.3;
    double fitting = (double)BATCH_TIME / (engine->input_time + 1);
    /* Growing step by step, one short input does not gather many long ones. */
    if (fitting > engine->limit * 4.0) fitting = engine->limit * 4.0;
    if (fitting > TASK_INPUTS_MOST) fitting = TASK_INPUTS_MOST;
    engine->limit = fitting < 1 ? 1 : (uint32_t)fitting;
}

static void take_reply(struct function_engine *engine, struct batch *batch, const struct task_reply *reply)
{
    const char *bytes = (const char *)&reply->entries[reply->done];
    int64_t started = reply->started;
    learn(engine, reply);
    for (uint32_t i = 0; i < batch->count; i++) {
        struct job *job = batch->jobs[i];
        if (i >= reply->done) {
            give_back_unrun(engine, job);
            continue;
        }
        job->started = started;
        started = reply->entries[i].ended;
        take_entry(engine, job, &reply->entries[i], bytes);
        bytes += reply->entries[i].size;
        give_back(engine, job);
    }
}

/* ---- workers that die ------------------------------------------------------------------------ */

static long retries_of(const struct function_engine *engine, const kin_failure *failure)
{
    if (engine->options->retries >= 0) return engine->options->retries;
    switch (failure->cause) {
    case KIN_CAUSE_SIGNALED: return failure->signal == SIGKILL ? RETRIES_KILLED : RETRIES_DIED;
    case KIN_CAUSE_EXITED:
    case KIN_CAUSE_OUT_OF_MEMORY: return RETRIES_DIED;
    default: return 0;
    }
}

static void charge(struct function_engine *engine, struct job *job, kin_failure failure)
{
    char text[512];
    long retries = retries_of(engine, &failure);
    failure.task = job->sequence;
    failure.attempt = job->attempt;
    failure.attempts = (unsigned)retries + 1;
    kin_failure_text(&failure, text, sizeof text);
    job->reason.size = 0;
    buffer_add_text(&job->reason, text);
    job->reason_whole = true;
    job->alone = true;
    job->ended = kin_clock();
    job->signal = failure.cause == KIN_CAUSE_SIGNALED ? failure.signal : 0;
    job->exit_value = failure.cause == KIN_CAUSE_EXITED ? failure.code : 0;
    job->outcome = failure.cause == KIN_CAUSE_TIMEOUT      ? OUTCOME_TIMEOUT
                   : failure.cause == KIN_CAUSE_TERMINATED ? OUTCOME_STOPPED
                                                           : OUTCOME_FAILED;
    if (engine->options->retries < 0 && (long)job->attempt <= retries && !engine->base.run->stopping) {
        job->attempt++;
        give_back_unrun(engine, job);
        return;
    }
    give_back(engine, job);
}

static void take_apart(struct function_engine *engine, struct batch *batch, const kin_failure *failure)
{
    struct task_progress *progress = &engine->shared->progress[batch - engine->batches];
    /* Relaxed: who wrote it is dead, and the failure was published after that. */
    uint32_t position = atomic_load_explicit(&progress->position, memory_order_relaxed);
    /* A worker that died before its first input is charged to that one: each death counts
     * somewhere, so that what always dies does not go on for ever. */
    if (position > 0) position--;
    for (uint32_t i = 0; i < batch->count; i++) {
        if (i == position) {
            charge(engine, batch->jobs[i], *failure);
        } else {
            give_back_unrun(engine, batch->jobs[i]);
        }
    }
}

static void take_broken(struct function_engine *engine, struct batch *batch, int code)
{
    if (!engine->base.run->broken) say("the pool of workers cannot go on: %s", kin_strerror(code));
    run_break(engine->base.run);
    for (uint32_t i = 0; i < batch->count; i++) {
        batch->jobs[i]->outcome = OUTCOME_STOPPED;
        give_back(engine, batch->jobs[i]);
    }
}

/* The jobs of a batch go back before the batch is free: both happen within one call. */
static void collect(struct function_engine *engine, struct batch *batch)
{
    const void *reply = NULL;
    kin_failure failure;
    long size = kin_result_view(batch->result, &reply);
    int rc = size == KIN_EFAILED ? kin_result_failure(batch->result, &failure) : 0;
    if (size >= 0) {
        take_reply(engine, batch, reply);
    } else if (size == KIN_EFAILED && rc == 0 && failure.cause != KIN_CAUSE_SUPERVISOR) {
        take_apart(engine, batch, &failure);
    } else {
        take_broken(engine, batch, size == KIN_EFAILED ? KIN_EBROKEN : (int)size);
    }
    kin_result_close(batch->result);
    batch->result = NULL;
    batch->count = 0;
    engine->free_count++;
}

static void look_at(struct function_engine *engine, struct batch *batch, kin_deadline deadline)
{
    if (batch->result == NULL || kin_result_wait(batch->result, deadline) == -ETIMEDOUT) return;
    collect(engine, batch);
}

static void task_announced(struct watch *watch)
{
    struct function_engine *engine = watch->owner;
    uint32_t places[64];
    ssize_t size = read(watch->descriptor, places, sizeof places);
    for (ssize_t i = 0; i < size / (ssize_t)sizeof places[0]; i++) {
        /* It is told just before the outcome stands. */
        if (places[i] < engine->batch_count)
            look_at(engine, &engine->batches[places[i]], kin_in_ns(LOOK_INTERVAL));
    }
}

/* ---- jobs that begin --------------------------------------------------------------------------- */

static void add_input(struct function_engine *engine, struct job *job)
{
    size_t size;
    const char *input;
    if (pattern_is_input(engine->pattern)) {
        input = job_input(job, &size);
    } else {
        pattern_expand(engine->pattern, job, &engine->command);
        input = engine->command.words[1];
        size = strlen(input);
    }
    buffer_add(&engine->argument, input, size);
    buffer_add_character(&engine->argument, '\0');
}

static void submit(struct function_engine *engine)
{
    struct batch *batch = engine->collecting;
    if (batch == NULL) return;
    engine->collecting = NULL;
    uint32_t place = (uint32_t)(batch - engine->batches);
    struct task_argument *head = (struct task_argument *)engine->argument.bytes;
    *head = (struct task_argument){engine->shared, place, batch->count};
    atomic_store_explicit(&engine->shared->progress[place].position, 0, memory_order_relaxed);
    kin_task_options options = {.timeout_ns = engine->options->timeout, .retries = -1};
    int rc = kin_pool_submit(engine->pool, &batch->result, task_function(), engine->argument.bytes,
                             engine->argument.size, kin_in_s(10), &options);
    if (rc == 0) return;
    batch->result = NULL;
    take_broken(engine, batch, rc);
    batch->count = 0;
    engine->free_count++;
}

static void begin_batch(struct function_engine *engine)
{
    for (unsigned i = 0; engine->collecting == NULL; i++)
        if (engine->batches[i].result == NULL) engine->collecting = &engine->batches[i];
    engine->free_count--;
    engine->argument.size = 0;
    buffer_room(&engine->argument, sizeof(struct task_argument));
    engine->argument.size = sizeof(struct task_argument);
}

static int function_start(struct engine *base, struct job *job)
{
    struct function_engine *engine = of(base);
    if (job->alone) submit(engine);
    if (engine->collecting == NULL && engine->free_count == 0) return -EAGAIN;
    job_reset(job);
    if (engine->collecting == NULL) begin_batch(engine);
    struct batch *batch = engine->collecting;
    job->slot = (unsigned)(batch - engine->batches) + 1;
    if (engine->options->verbose) say("%s", pattern_display(engine->pattern, job));
    job->started = kin_clock();
    add_input(engine, job);
    batch->jobs[batch->count++] = job;
    base->running++;
    /* A time limit is for one input: only alone in its task can it be enforced. */
    if (batch->count >= engine->limit || engine->argument.size >= BATCH_BYTES || job->alone ||
        engine->options->timeout > 0)
        submit(engine);
    return 0;
}

static bool function_has_room(const struct engine *base)
{
    return of(base)->collecting != NULL || of(base)->free_count > 0;
}

static void function_flush(struct engine *base)
{
    submit(of(base));
}

static void function_child_ended(struct engine *base)
{
    /* It is the pool's, which has noticed. */
    (void)base;
}

/* ---- time limits and stops ------------------------------------------------------------------------ */

static int64_t function_tick(struct engine *base)
{
    struct function_engine *engine = of(base);
    if (base->running == 0) return KIN_FOREVER;
    int64_t now = kin_clock();
    if (now >= engine->stop_deadline) {
        engine->stop_deadline = KIN_FOREVER;
        kin_pool_terminate(engine->pool);
    }
    if (now < engine->look) return engine->look;
    /* A worker that died has told nothing. */
    for (unsigned i = 0; i < engine->batch_count; i++) look_at(engine, &engine->batches[i], KIN_NOW);
    engine->look = now + LOOK_INTERVAL;
    /* Room may have come of it. */
    return base->running > 0 ? engine->look : now;
}

static void function_stop(struct engine *base, bool at_once)
{
    struct function_engine *engine = of(base);
    atomic_store_explicit(&engine->shared->stop, 1, memory_order_relaxed);
    if (at_once) {
        kin_pool_terminate(engine->pool);
    } else if (engine->stop_deadline == KIN_FOREVER) {
        engine->stop_deadline = kin_clock() + engine->options->grace;
    }
}

static void function_close(struct engine *base)
{
    struct function_engine *engine = of(base);
    if (engine->pool != NULL) kin_pool_free(engine->pool);
    loop_remove(&engine->announced);
    if (engine->announced.descriptor >= 0) close(engine->announced.descriptor);
    if (engine->announce >= 0) close(engine->announce);
    kin_free(engine->shared);
    buffer_free(&engine->argument);
    command_free(&engine->command);
    if (engine->library != NULL) dlclose(engine->library);
    free(engine->batches);
    free(engine);
}

static const struct engine_kind kind = {
    function_has_room, function_start, function_flush, function_child_ended,
    function_tick,     function_stop,  function_close,
};

/* ---- opening ------------------------------------------------------------------------------------------ */

static const char *library_end(const char *word)
{
    const char *colon = strrchr(word, ':');
    if (colon == NULL || colon == word) return NULL;
    const char *so = NULL;
    for (const char *at = word; (at = strstr(at, ".so")) != NULL && at < colon; at += 3)
        if (at + 3 == colon || at[3] == '.') so = at;
    return so == NULL || memchr(so, '/', (size_t)(colon - so)) != NULL ? NULL : colon;
}

bool engine_function_is_named(const char *word)
{
    const char *colon = library_end(word);
    if (colon == NULL) return false;
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    return colon[1] != '\0' && (colon[1] < '0' || colon[1] > '9') &&
           strspn(colon + 1, letters) == strlen(colon + 1);
}

static kin_map_function *find_function(struct function_engine *engine, const char *path)
{
    void *address = dlsym(engine->library, engine->name);
    Dl_info info;
    ElfW(Sym) *symbol = NULL;
    if (address == NULL || dladdr1(address, &info, (void **)&symbol, RTLD_DL_SYMENT) == 0) {
        say("there is no function %s in %s", engine->name, path);
        return NULL;
    }
    if (symbol != NULL && ELF64_ST_TYPE(symbol->st_info) == STT_OBJECT) {
        say("%s in %s is not a function", engine->name, path);
        return NULL;
    }
    kin_map_function *function;
    memcpy(&function, &address, sizeof function);
    return function;
}

static kin_map_function *load(struct function_engine *engine, const char *word)
{
    const char *colon = library_end(word);
    char path[4096];
    int length = (int)(colon - word);
    snprintf(engine->name, sizeof engine->name, "%s", colon + 1);
    /* A file here is meant as one, though dlopen would look for a bare name elsewhere. */
    snprintf(path, sizeof path, "./%.*s", length, word);
    const char *name = memchr(word, '/', (size_t)length) == NULL && access(path, F_OK) == 0 ? path : path + 2;
    if (strchr(name, '/') != NULL && access(name, R_OK) < 0) {
        say("cannot open %s: %s", name, error_words(errno));
        return NULL;
    }
    engine->library = dlopen(name, RTLD_NOW);
    if (engine->library == NULL) {
        const char *why = dlerror();
        size_t named = strlen(name);
        if (strncmp(why, name, named) == 0 && why[named] == ':') why += named + 2;
        say("cannot load %s: %s", name, why);
        return NULL;
    }
    return find_function(engine, name);
}

static int open_announcements(struct function_engine *engine)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) return -errno;
    engine->announced.descriptor = ends[0];
    engine->announce = ends[1];
    return loop_add_readable(&engine->announced);
}

static int open_pool(struct function_engine *engine, kin_map_function *function)
{
    int rc = open_announcements(engine);
    if (rc < 0) return rc;
    engine->shared =
        kin_alloc(sizeof *engine->shared + engine->batch_count * sizeof engine->shared->progress[0]);
    if (engine->shared == NULL) return -errno;
    task_prepare(function, engine->name, engine->announce);
    kin_pool_options options = {
        .workers = engine->options->jobs, .initializer = task_initialize, .name = "map"};
    return kin_pool_open(&engine->pool, &options);
}

struct engine *engine_function_open(const struct options *options, const struct pattern *pattern)
{
    struct function_engine *engine = memory_zeroed(1, sizeof *engine);
    *engine = (struct function_engine){
        .base.kind = &kind, .options = options, .pattern = pattern, .announce = -1, .limit = 1};
    engine->announced = (struct watch){.ready = task_announced, .owner = engine, .descriptor = -1};
    engine->stop_deadline = KIN_FOREVER;
    engine->batch_count = engine->free_count = options->jobs * BATCHES_A_HEAD;
    engine->batches = memory_zeroed(engine->batch_count, sizeof *engine->batches);
    kin_map_function *function = load(engine, options->command[0]);
    int rc = function == NULL ? 0 : open_pool(engine, function);
    if (rc < 0) say("cannot open a pool of %u workers: %s", options->jobs, kin_strerror(rc));
    if (function != NULL && rc == 0) return &engine->base;
    function_close(&engine->base);
    return NULL;
}
