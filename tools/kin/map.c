/* map.c: `kin map`: the parts are opened, the run runs, the parts are closed. */
#include "map.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "engine.h"
#include "joblog.h"
#include "loop.h"
#include "progress.h"
#include "run.h"
#include "say.h"

/* A standard descriptor that is closed would be taken by a file of ours. */
static void fill_standard_descriptors(void)
{
    for (int i = 0; i < 3; i++)
        while (fcntl(i, F_GETFD) < 0 && open("/dev/null", O_RDWR) >= 0 && fcntl(i, F_GETFD) < 0) continue;
}

static bool names_function(const struct options *options)
{
    return options->command_count > 0 && !options->shell && engine_function_is_named(options->command[0]);
}

/* The words behind a function are its input, with {} forms; as a rule there are none. */
static struct pattern *make_function_pattern(const struct options *options)
{
    size_t count = options->command_count - 1;
    struct pattern *pattern =
        pattern_parse(options->command + 1, count, PATTERN_TEXT, options->replace, count == 0);
    pattern_set_name(pattern, options->command[0]);
    if (pattern_varies(pattern)) return pattern;
    say("\"%s\" behind a function has no {} in it; options stand before the function", options->command[1]);
    pattern_free(pattern);
    return NULL;
}

/* Returns NULL after an error, which has been told. */
static struct pattern *make_pattern(const struct options *options)
{
    char *input = (char[]){"{}"};
    char **words = options->command;
    size_t count = options->command_count;
    if (count == 0) return pattern_parse(&input, 1, PATTERN_SCRIPT, NULL, false);
    if (names_function(options)) return make_function_pattern(options);
    bool shell = options->shell || (count == 1 && pattern_needs_shell(words[0], options->replace));
    return pattern_parse(words, count, shell ? PATTERN_SHELL : PATTERN_DIRECT, options->replace, true);
}

static struct engine *open_engine(const struct options *options, const struct pattern *pattern)
{
    return names_function(options) ? engine_function_open(options, pattern)
                                   : engine_command_open(options, pattern);
}

static int run_with(const struct options *options)
{
    struct run run = {.options = options, .halt_code = -1};
    struct pattern *pattern = make_pattern(options);
    int code = EXIT_OTHER;
    if (pattern == NULL) return code;
    run.pattern = pattern;
    run.retries = options->retries > 0 ? options->retries : 0;
    run.input = input_open(options);
    if (run.input != NULL && (options->job_log == NULL || joblog_open(options->job_log))) {
        if (!options->dry_run) run.engine = open_engine(options, pattern);
        if (run.engine != NULL || options->dry_run) {
            if (run.engine != NULL) run.engine->run = &run;
            run.sink = sink_open(options, pattern);
            progress_open(options->dry_run ? PROGRESS_OFF : options->progress);
            say_after(progress_hide);
            code = run_all(&run);
            sink_close(run.sink);
        }
    }
    if (run.engine != NULL) run.engine->kind->close(run.engine);
    if (!joblog_close() && code == 0) code = EXIT_OTHER;
    input_close(run.input);
    pattern_free(pattern);
    return code;
}

int map_main(int count, char **words)
{
    say_as("kin map");
    fill_standard_descriptors();
    /* Ignored, the kernel would collect the children itself and their status would be lost. */
    signal(SIGCHLD, SIG_DFL);
    struct options options;
    int code;
    if (options_parse(&options, count, words, &code)) {
        int rc = loop_open();
        if (rc < 0) say("cannot wait for descriptors: %s", error_words(-rc));
        code = rc < 0 ? EXIT_OTHER : run_with(&options);
        loop_close();
        jobs_release();
    }
    options_free(&options);
    return code;
}
