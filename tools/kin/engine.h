/* engine.h: what runs jobs: commands in processes of their own, or a function in a pool.
 *
 * The run gives an engine jobs as long as it has room; the engine gives each back, once, by
 * run_job_ended, with its outcome filled in. */
#ifndef ENGINE_H
#define ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "job.h"
#include "options.h"
#include "pattern.h"

struct run;
struct engine;

struct engine_kind {
    bool (*has_room)(const struct engine *engine);
    /* Takes the job.  -EAGAIN, only while others run: cannot before one of them has ended. */
    int (*start)(struct engine *engine, struct job *job);
    /* Starts what was taken and not started; there will be no more for now. */
    void (*flush)(struct engine *engine);
    /* A child of the tool may have ended. */
    void (*child_ended)(struct engine *engine);
    /* Enforces time limits; returns when to call again, KIN_FOREVER for not at all. */
    int64_t (*tick)(struct engine *engine);
    /* Ends what runs: in order, or at once. */
    void (*stop)(struct engine *engine, bool at_once);
    void (*close)(struct engine *engine);
};

struct engine {
    const struct engine_kind *kind;
    struct run *run;
    unsigned running; /* jobs taken and not given back */
};

/* Each returns NULL after an error, which has been told. */
struct engine *engine_command_open(const struct options *options, const struct pattern *pattern);
struct engine *engine_function_open(const struct options *options, const struct pattern *pattern);

/* Whether the word names a function: "path.so:name". */
bool engine_function_is_named(const char *word);

#endif
