/* run.c: the loop that everything happens in.
 *
 * Invariants: every job that was made is in exactly one place: `filling`, `again`, the engine
 * or the sink; a job is counted in `done` when it goes into the sink. */
#define _GNU_SOURCE
#include "run.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <kin/time.h>

#include "joblog.h"
#include "loop.h"
#include "progress.h"
#include "say.h"
#include "signals.h"

/* A share of failures means something once there are so many. */
#define HALT_FRACTION_LEAST 3

/* So many jobs are begun before events are looked at again. */
#define FEED_TURNS 4096

static struct watch signal_watch;
static struct watch input_watch;

static void stop(struct run *run, bool running_too)
{
    run->stopping = true;
    if (running_too && run->engine != NULL) run->engine->kind->stop(run->engine, false);
}

void run_break(struct run *run)
{
    run->broken = true;
    stop(run, true);
}

/* ---- jobs that end ------------------------------------------------------------------------ */

static int exit_code_of(const struct job *job)
{
    if (!job_failed(job)) return 0;
    if (job->signal != 0) return 128 + job->signal;
    /* A function may return what is no exit code; a failure is never told as 0. */
    return job->exit_value > 0 && job->exit_value <= 255 ? job->exit_value : EXIT_OTHER;
}

static void check_halt(struct run *run, const struct job *job)
{
    const struct halt *halt = &run->options->halt;
    if (halt->when == HALT_NEVER || run->stopping) return;
    uint64_t count = halt->what == HALT_DONE   ? run->done
                     : halt->what == HALT_FAIL ? run->failed
                                               : run->done - run->failed;
    if (halt->what == HALT_FAIL && !job_failed(job)) return;
    if (halt->what == HALT_SUCCESS && job_failed(job)) return;
    if (halt->fraction > 0) {
        if (count < HALT_FRACTION_LEAST || (double)count < halt->fraction * (double)run->done) return;
    } else {
        if (count < halt->count) return;
        run->halt_code = exit_code_of(job);
    }
    say("%s because of --halt", halt->when == HALT_NOW ? "ending all jobs" : "no new jobs are started");
    stop(run, halt->when == HALT_NOW);
}

static void finish(struct run *run, struct job *job)
{
    if (job->outcome != OUTCOME_STOPPED) {
        run->done++;
        if (job_failed(job)) run->failed++;
        check_halt(run, job);
    }
    if (joblog_is_open()) joblog_add(job, pattern_display(run->pattern, job));
    sink_take(run->sink, job);
}

void run_job_ended(struct run *run, struct job *job)
{
    run->blocked = false;
    bool again = job_failed(job) && !run->stopping && (long)job->attempt <= run->retries;
    if (!again) {
        finish(run, job);
        return;
    }
    job->attempt++;
    jobs_push(&run->again, job);
}

void run_job_again(struct run *run, struct job *job)
{
    run->blocked = false;
    jobs_push(&run->again, job);
}

/* ---- jobs that begin ---------------------------------------------------------------------- */

static void print_only(struct run *run, struct job *job)
{
    job->slot = 1;
    sink_print(run->sink, job, pattern_display(run->pattern, job));
}

/* Gives the engine one job; false when it cannot take one now. */
static bool start(struct run *run, struct job *job)
{
    if (run->engine == NULL) {
        print_only(run, job);
        return true;
    }
    int rc = run->engine->kind->start(run->engine, job);
    if (rc == 0) return true;
    jobs_push_front(&run->again, job);
    run->blocked = true;
    return false;
}

/* The next job, or NULL when there is none now. */
static struct job *next_job(struct run *run)
{
    struct job *job = jobs_pop(&run->again);
    if (job != NULL || run->input_ended) return job;
    if (run->filling == NULL) run->filling = job_new(run->sequence + 1);
    int rc = input_fill(run->input, run->filling);
    if (rc == 1) {
        run->sequence++;
        job = run->filling;
        run->filling = NULL;
        return job;
    }
    if (rc == -EAGAIN) {
        input_watch.descriptor = input_descriptor(run->input);
        loop_add_readable(&input_watch);
        return NULL;
    }
    run->input_ended = true;
    if (rc < 0) run->broken = true;
    return NULL;
}

static bool engine_has_room(const struct run *run)
{
    return run->engine == NULL || (!run->blocked && run->engine->kind->has_room(run->engine));
}

bool run_feed(struct run *run)
{
    unsigned turns = 0;
    while (!run->stopping && engine_has_room(run)) {
        if (turns++ == FEED_TURNS) return false;
        /* One that is run again may be what all others wait for. */
        uint64_t number = run->again.count > 0 ? run->again.first->sequence : run->sequence + 1;
        if (!sink_has_room(run->sink, number)) sink_pump(run->sink);
        if (!sink_has_room(run->sink, number)) break;
        struct job *job = next_job(run);
        if (job == NULL || !start(run, job)) break;
    }
    if (run->engine != NULL) run->engine->kind->flush(run->engine);
    return true;
}

/* ---- events -------------------------------------------------------------------------------- */

static void input_ready(struct watch *watch)
{
    /* What is there is read when a job can take it. */
    loop_remove(watch);
}

static void end_at_once(struct run *run, int signal)
{
    if (run->engine != NULL) {
        run->engine->kind->stop(run->engine, true);
        run->engine->kind->close(run->engine);
    }
    progress_hide();
    /* Nobody wants to wait for a slow reader any more. */
    _exit(128 + signal);
}

static void signal_ready(struct watch *watch)
{
    struct run *run = watch->owner;
    for (int signal; (signal = signals_next()) != 0;) {
        if (signal == SIGCHLD) {
            if (run->engine != NULL) run->engine->kind->child_ended(run->engine);
            continue;
        }
        if (run->signal != 0) end_at_once(run, signal);
        run->signal = signal;
        stop(run, true);
    }
}

static struct progress_figures figures(const struct run *run)
{
    struct progress_figures now = {.done = run->done, .failed = run->failed};
    now.running = run->engine == NULL ? 0 : run->engine->running;
    now.total = run->input_ended ? (double)run->sequence : input_estimate(run->input);
    return now;
}

/* After a stop, jobs that were to be run again have failed. */
static void give_up_again(struct run *run)
{
    for (struct job *job; (job = jobs_pop(&run->again)) != NULL;) {
        if (!job_failed(job)) job->outcome = OUTCOME_STOPPED;
        finish(run, job);
    }
}

static bool is_over(const struct run *run)
{
    if (run->again.count > 0) return false;
    if (run->engine != NULL && run->engine->running > 0) return false;
    return run->stopping || run->input_ended;
}

static void check_reader(struct run *run)
{
    if (sink_error(run->sink) == 0 || run->broken) return;
    if (sink_error(run->sink) != EPIPE)
        say("cannot write to standard output: %s", error_words(sink_error(run->sink)));
    run_break(run);
}

static int exit_code(const struct run *run)
{
    if (run->signal != 0) return 128 + run->signal;
    if (sink_error(run->sink) == EPIPE) return 128 + SIGPIPE;
    if (run->broken) return EXIT_OTHER;
    if (run->halt_code >= 0) return run->halt_code;
    return run->failed > 100 ? EXIT_MANY : (int)run->failed;
}

static void summarize(const struct run *run)
{
    struct progress_figures last = figures(run);
    progress_close(&last);
    if (run->signal != 0)
        say("interrupted by %s after %llu jobs", signal_name(run->signal), (unsigned long long)run->done);
    if (run->failed > 0)
        say("%llu of %llu jobs failed", (unsigned long long)run->failed, (unsigned long long)run->done);
}

int run_all(struct run *run)
{
    signal_watch = (struct watch){.ready = signal_ready, .owner = run, .descriptor = signals_open()};
    input_watch = (struct watch){.ready = input_ready, .owner = run};
    loop_add_readable(&signal_watch);
    for (;;) {
        bool fed = run_feed(run);
        if (run->stopping) give_up_again(run);
        bool printed = sink_pump(run->sink);
        check_reader(run);
        struct progress_figures now = figures(run);
        int64_t deadline = progress_show(&now);
        if (is_over(run) && printed) break;
        int64_t tick = run->engine == NULL ? KIN_FOREVER : run->engine->kind->tick(run->engine);
        if (tick < deadline) deadline = tick;
        loop_wait(fed ? deadline : KIN_NOW);
    }
    sink_finish(run->sink);
    summarize(run);
    if (run->filling != NULL) job_free(run->filling);
    loop_remove(&input_watch);
    loop_remove(&signal_watch);
    signals_close();
    return exit_code(run);
}
