/* engine_command.c: commands, each in a process of its own.
 *
 * A job's outputs come through two pipes of its own, so that nothing another job leaves behind
 * can write into them.  The job ends when its process does: what is in the pipes then is its
 * output; what a process that it left in the background writes later is nobody's.
 *
 * Invariants: the child of a slot with a pid has not been collected, so that the pid, and the
 * process group of that number, are its own. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin/time.h>

#include "engine.h"
#include "loop.h"
#include "run.h"
#include "say.h"
#include "spawn.h"

/* A short job with little output is over before anybody has to look at its pipes: they are
 * watched when it has run for a while, or from the start as long as jobs write much.  That
 * saves two of three times that the tool is woken for each job. */
#define WATCH_DELAY  ((int64_t)5000000)
#define LARGE_OUTPUT ((uint64_t)16 << 10)
#define LARGE_MEMORY 64

/* The largest pipe, in reads. */
#define PIPE_READS_MOST 64

enum ending { ENDING_NOT, ENDING_TERMINATED, ENDING_KILLED };

struct slot {
    struct command_engine *engine;
    struct job *job; /* NULL: free */
    pid_t pid;       /* 0: collected */
    struct watch out;
    struct watch err;
    int64_t watch_at; /* when its pipes are to be watched; KIN_FOREVER: they are */
    int output_error; /* of the temporary file */
    bool timed_out;
    enum ending ending;
    int64_t deadline; /* of the time limit, or of the grace after it */
    struct command command;
};

/* The reading and the writing ends of a job's pipes. */
struct pipes {
    int out[2];
    int err[2];
};

struct command_engine {
    struct engine base;
    const struct options *options;
    const struct pattern *pattern;
    struct slot *slots; /* one more than jobs at a time: see `finish` */
    unsigned slot_count;
    unsigned *numbers; /* of jobs that are free, the lowest on top */
    unsigned number_count;
    struct pipes spare; /* for the next job; out[0] < 0: none */
    int null;           /* /dev/null */
    unsigned ending;    /* slots that are being ended */
    unsigned large;     /* so many jobs more have their pipes watched from the start */
    bool fixed;         /* the program is the same for all jobs: `path` */
    char path[4096];
};

/* ---- the end of a job ----------------------------------------------------------------------- */

static void close_watch(struct watch *watch)
{
    if (watch->descriptor < 0) return;
    /* Closing takes it out of the loop: there is no other descriptor of the same file. */
    watch->added = false;
    close(watch->descriptor);
    watch->descriptor = -1;
}

static void end_slot(struct slot *slot, enum ending ending)
{
    if (slot->pid == 0 || slot->ending >= ending) return;
    if (slot->ending == ENDING_NOT) slot->engine->ending++;
    slot->ending = ending;
    slot->deadline = ending == ENDING_TERMINATED ? kin_clock() + slot->engine->options->grace : KIN_FOREVER;
    kill(-slot->pid, ending == ENDING_TERMINATED ? SIGTERM : SIGKILL);
    /* One that is stopped would not see it. */
    if (ending == ENDING_TERMINATED) kill(-slot->pid, SIGCONT);
}

static bool has_ended(const struct watch *watch)
{
    struct pollfd item = {.fd = watch->descriptor, .events = POLLIN};
    return poll(&item, 1, 0) > 0 && (item.revents & POLLIN) == 0;
}

static struct output *output_of(const struct watch *watch)
{
    struct slot *slot = watch->owner;
    return watch == &slot->out ? &slot->job->out : &slot->job->err;
}

static void output_ready(struct watch *watch)
{
    struct slot *slot = watch->owner;
    if (watch->descriptor < 0) return;
    long n = output_add_from(output_of(watch), watch->descriptor);
    if (n > 0 || (n == 0 && !has_ended(watch))) return;
    close_watch(watch);
    if (n < 0) {
        slot->output_error = (int)-n;
        end_slot(slot, ENDING_TERMINATED);
    }
}

/* What is in the pipe when the process is gone is what it wrote; a process that it left behind
 * may go on writing for ever. */
static void drain(struct watch *watch)
{
    struct slot *slot = watch->owner;
    if (watch->descriptor < 0) return;
    long n = 1;
    for (unsigned i = 0; n > 0 && i < PIPE_READS_MOST; i++)
        n = output_add_from(output_of(watch), watch->descriptor);
    if (n < 0) slot->output_error = (int)-n;
    close_watch(watch);
}

static void fill_outcome(struct slot *slot, const siginfo_t *info)
{
    struct job *job = slot->job;
    if (info->si_code == CLD_EXITED) {
        job->exit_value = info->si_status;
        job->outcome = info->si_status == 0 ? OUTCOME_SUCCESS : OUTCOME_EXITED;
    } else {
        job->signal = info->si_status;
        job->core_dumped = info->si_code == CLD_DUMPED;
        job->outcome = OUTCOME_SIGNALED;
    }
    if (slot->output_error != 0) {
        buffer_format(&job->reason, "its output cannot be kept in a temporary file: %s",
                      error_words(slot->output_error));
        job->outcome = OUTCOME_FAILED;
    } else if (slot->timed_out) {
        job->outcome = OUTCOME_TIMEOUT;
    } else if (slot->ending != ENDING_NOT && job->outcome != OUTCOME_SUCCESS) {
        job->outcome = OUTCOME_STOPPED;
    }
}

static void free_number(struct command_engine *engine, unsigned number)
{
    unsigned place = engine->number_count++;
    while (place > 0 && engine->numbers[place - 1] < number) {
        engine->numbers[place] = engine->numbers[place - 1];
        place--;
    }
    engine->numbers[place] = number;
}

static void take_outputs(struct slot *slot)
{
    struct job *job = slot->job;
    drain(&slot->out);
    drain(&slot->err);
    if (output_size(&job->out) + output_size(&job->err) > LARGE_OUTPUT) slot->engine->large = LARGE_MEMORY;
}

static void finish(struct slot *slot, const siginfo_t *info)
{
    struct command_engine *engine = slot->engine;
    struct run *run = engine->base.run;
    struct job *job = slot->job;
    job->ended = kin_clock();
    slot->pid = 0;
    if (slot->ending != ENDING_NOT) engine->ending--;
    free_number(engine, job->slot);
    engine->base.running--;
    /* A processor is idle: unless this outcome may end the run, the next job starts first. */
    if (info->si_code == CLD_EXITED && info->si_status == 0 && engine->options->halt.when == HALT_NEVER)
        run_feed(run);
    take_outputs(slot);
    fill_outcome(slot, info);
    slot->job = NULL;
    run_job_ended(run, job);
}

static struct slot *find_slot(struct command_engine *engine, pid_t pid)
{
    for (unsigned i = 0; i < engine->slot_count; i++)
        if (engine->slots[i].pid == pid) return &engine->slots[i];
    return NULL;
}

static void command_child_ended(struct engine *base)
{
    struct command_engine *engine = (struct command_engine *)base;
    /* One signal may stand for several children. */
    for (;;) {
        siginfo_t info = {0};
        int peek = engine->ending > 0 ? WNOWAIT : 0;
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | peek) < 0 || info.si_pid == 0) return;
        struct slot *slot = find_slot(engine, info.si_pid);
        /* Of a job that is being ended nothing is to be left; as long as the leader has not been
         * collected the group's number is certain. */
        if (slot != NULL && slot->ending != ENDING_NOT) kill(-slot->pid, SIGKILL);
        if (peek != 0) waitid(P_PID, (id_t)info.si_pid, &info, WEXITED);
        if (slot != NULL) finish(slot, &info);
    }
}

/* ---- the beginning of a job -------------------------------------------------------------------- */

static int open_pipes(struct pipes *pipes)
{
    if (pipe2(pipes->out, O_CLOEXEC) < 0) return -errno;
    if (pipe2(pipes->err, O_CLOEXEC) == 0) return 0;
    int rc = -errno;
    close(pipes->out[0]);
    close(pipes->out[1]);
    return rc;
}

static int take_pipes(struct command_engine *engine, struct pipes *pipes)
{
    if (engine->spare.out[0] < 0) return open_pipes(pipes);
    *pipes = engine->spare;
    engine->spare.out[0] = -1;
    return 0;
}

/* While the jobs run there is time to prepare for the next one. */
static void prepare_pipes(struct command_engine *engine)
{
    if (engine->options->ungroup || engine->spare.out[0] >= 0) return;
    if (open_pipes(&engine->spare) < 0) engine->spare.out[0] = -1;
}

static void not_started(struct command_engine *engine, struct job *job, const char *program, int error)
{
    job->outcome = OUTCOME_NOT_STARTED;
    job->exit_value = error == ENOENT ? 127 : 126;
    job->reason.size = 0;
    buffer_format(&job->reason, "cannot run %s: %s", printable(program, strlen(program)), error_words(error));
    job->started = job->ended = kin_clock();
    run_job_ended(engine->base.run, job);
}

static int launch(struct slot *slot)
{
    struct command_engine *engine = slot->engine;
    struct command *command = &slot->command;
    char found[4096];
    const char *program = engine->path;
    if (!engine->fixed) {
        int rc = command->count == 0 ? -ENOENT : spawn_find(command->words[1], found, sizeof found);
        if (rc < 0) return rc;
        program = found;
    }
    struct pipes pipes = {{-1, STDOUT_FILENO}, {-1, STDERR_FILENO}};
    int rc = engine->options->ungroup ? 0 : take_pipes(engine, &pipes);
    if (rc < 0) return rc;
    struct spawn how = {.program = program,
                        .words = command->words,
                        .in = engine->null,
                        .out = pipes.out[1],
                        .err = pipes.err[1],
                        .directory = engine->options->directory};
    pid_t pid = spawn(&how);
    slot->out.descriptor = pipes.out[0];
    slot->err.descriptor = pipes.err[0];
    if (!engine->options->ungroup) {
        close(pipes.out[1]);
        close(pipes.err[1]);
    }
    if (pid > 0) {
        slot->pid = pid;
        return 0;
    }
    close_watch(&slot->out);
    close_watch(&slot->err);
    return pid;
}

static bool is_shortage(int rc)
{
    return rc == -EAGAIN || rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM;
}

static void watch_outputs(struct slot *slot)
{
    slot->watch_at = KIN_FOREVER;
    int rc = slot->out.descriptor < 0 ? 0 : loop_add_readable(&slot->out);
    if (rc == 0 && slot->err.descriptor >= 0) rc = loop_add_readable(&slot->err);
    if (rc == 0) return;
    slot->output_error = -rc;
    end_slot(slot, ENDING_TERMINATED);
}

static int command_start(struct engine *base, struct job *job)
{
    struct command_engine *engine = (struct command_engine *)base;
    struct slot *slot = engine->slots;
    while (slot->job != NULL) slot++;
    job_reset(job);
    job->slot = engine->numbers[engine->number_count - 1];
    pattern_expand(engine->pattern, job, &slot->command);
    if (engine->options->verbose) say("%s", pattern_display(engine->pattern, job));
    job->started = kin_clock();
    slot->ending = ENDING_NOT;
    slot->timed_out = false;
    slot->output_error = 0;
    int rc = launch(slot);
    if (rc < 0) {
        if (is_shortage(rc) && engine->base.running > 0) return -EAGAIN;
        not_started(engine, job, slot->command.count > 0 ? slot->command.words[1] : "", -rc);
        return 0;
    }
    slot->deadline = engine->options->timeout > 0 ? job->started + engine->options->timeout : KIN_FOREVER;
    slot->job = job;
    slot->watch_at = engine->options->ungroup ? KIN_FOREVER : job->started + WATCH_DELAY;
    if (engine->large > 0) {
        engine->large--;
        watch_outputs(slot);
    }
    engine->number_count--;
    engine->base.running++;
    return 0;
}

static bool command_has_room(const struct engine *base)
{
    return ((const struct command_engine *)base)->number_count > 0;
}

static void command_flush(struct engine *base)
{
    prepare_pipes((struct command_engine *)base);
}

/* ---- time limits and stops ------------------------------------------------------------------------ */

static int64_t command_tick(struct engine *base)
{
    struct command_engine *engine = (struct command_engine *)base;
    if (engine->base.running == 0) return KIN_FOREVER;
    int64_t now = kin_clock();
    int64_t next = KIN_FOREVER;
    for (unsigned i = 0; i < engine->slot_count; i++) {
        struct slot *slot = &engine->slots[i];
        if (slot->pid == 0) continue;
        if (slot->deadline <= now) {
            if (slot->ending == ENDING_NOT) slot->timed_out = true;
            end_slot(slot, slot->ending == ENDING_NOT ? ENDING_TERMINATED : ENDING_KILLED);
        }
        if (slot->watch_at <= now) watch_outputs(slot);
        if (slot->watch_at < next) next = slot->watch_at;
        if (slot->deadline < next) next = slot->deadline;
    }
    return next;
}

static void command_stop(struct engine *base, bool at_once)
{
    struct command_engine *engine = (struct command_engine *)base;
    for (unsigned i = 0; i < engine->slot_count; i++)
        end_slot(&engine->slots[i], at_once ? ENDING_KILLED : ENDING_TERMINATED);
}

static void command_close(struct engine *base)
{
    struct command_engine *engine = (struct command_engine *)base;
    for (unsigned i = 0; i < engine->slot_count; i++) command_free(&engine->slots[i].command);
    if (engine->null >= 0) close(engine->null);
    if (engine->spare.out[0] >= 0) {
        close(engine->spare.out[0]);
        close(engine->spare.out[1]);
        close(engine->spare.err[0]);
        close(engine->spare.err[1]);
    }
    free(engine->slots);
    free(engine->numbers);
    free(engine);
}

static const struct engine_kind kind = {
    command_has_room, command_start, command_flush, command_child_ended,
    command_tick,     command_stop,  command_close,
};

/* ---- opening ------------------------------------------------------------------------------------------ */

static unsigned fitting_jobs(unsigned wanted)
{
    if (3 * wanted + 32 > spawn_descriptor_limit()) spawn_raise_limit();
    unsigned limit = spawn_descriptor_limit();
    unsigned most = limit > 35 ? (limit - 32) / 3 : 1;
    return wanted < most ? wanted : most;
}

static bool check_directory(const struct options *options)
{
    struct stat status;
    if (options->directory == NULL) return true;
    int error = stat(options->directory, &status) < 0 ? errno : S_ISDIR(status.st_mode) ? 0 : ENOTDIR;
    if (error != 0) say("cannot enter %s: %s", options->directory, error_words(error));
    return error == 0;
}

/* Nobody means to run one: compilers make them executable all the same. */
static bool is_library(const char *name)
{
    size_t length = strlen(name);
    return length > 3 && strcmp(name + length - 3, ".so") == 0;
}

/* A program that is the same for all jobs is looked up once; what does not exist is told before
 * any job has failed because of it. */
static bool find_program(struct command_engine *engine)
{
    if (pattern_program_varies(engine->pattern)) return true;
    struct command command = {0};
    struct job *job = job_new(0);
    pattern_expand(engine->pattern, job, &command);
    const char *name = command.words[1];
    int rc = is_library(name) ? -EINVAL : 0;
    if (rc < 0) {
        say("cannot run %s, which is a library: name a function in it, %s:FUNCTION", name, name);
    } else if (engine->options->directory != NULL && name[0] != '/' && strchr(name, '/') != NULL) {
        /* It is found from where the job will be. */
        snprintf(engine->path, sizeof engine->path, "%s", name);
    } else {
        rc = spawn_find(name, engine->path, sizeof engine->path);
        if (rc < 0) say("cannot run %s: %s", name, error_words(-rc));
    }
    engine->fixed = true;
    command_free(&command);
    job_free(job);
    return rc == 0;
}

struct engine *engine_command_open(const struct options *options, const struct pattern *pattern)
{
    struct command_engine *engine = memory_zeroed(1, sizeof *engine);
    *engine = (struct command_engine){.base.kind = &kind, .options = options, .pattern = pattern};
    engine->spare.out[0] = -1;
    engine->number_count = fitting_jobs(options->jobs);
    engine->slot_count = engine->number_count + 1;
    engine->slots = memory_zeroed(engine->slot_count, sizeof *engine->slots);
    engine->numbers = memory_zeroed(engine->number_count, sizeof *engine->numbers);
    for (unsigned i = 0; i < engine->number_count; i++) engine->numbers[i] = engine->number_count - i;
    for (unsigned i = 0; i < engine->slot_count; i++) {
        struct slot *slot = &engine->slots[i];
        slot->engine = engine;
        slot->out = (struct watch){.ready = output_ready, .owner = slot, .descriptor = -1};
        slot->err = (struct watch){.ready = output_ready, .owner = slot, .descriptor = -1};
    }
    engine->null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (engine->null < 0) say("cannot open /dev/null: %s", error_words(errno));
    if (engine->null >= 0 && check_directory(options) && find_program(engine)) return &engine->base;
    command_close(&engine->base);
    return NULL;
}
