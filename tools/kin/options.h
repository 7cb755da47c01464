/* options.h: what the command line of `kin map` asks for. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum halt_when { HALT_NEVER, HALT_SOON, HALT_NOW };
enum halt_what { HALT_FAIL, HALT_SUCCESS, HALT_DONE };
enum progress_mode { PROGRESS_AUTOMATIC, PROGRESS_ON, PROGRESS_OFF };

struct halt {
    enum halt_when when;
    enum halt_what what;
    uint64_t count;  /* so many jobs, or */
    double fraction; /* this part of those that ended, when above 0 */
};

/* Where inputs come from: words of the command line, or a file. */
struct source_option {
    char **words; /* NULL: a file */
    size_t count;
    const char *file; /* "-" is standard input */
    bool linked;      /* goes in step with the source before it */
};

struct options {
    unsigned jobs; /* at a time */
    bool keep_order;
    bool ungroup;
    bool tag;
    const char *tag_pattern; /* NULL: the input */
    bool json;
    bool verbose;
    bool dry_run;
    bool shell;
    bool skip_blank;
    bool link;
    char delimiter;
    size_t max_arguments; /* inputs of a job; 0: one */
    const char *replace;  /* stands for {} */
    long retries;         /* -1: not given */
    int64_t timeout;      /* ns; 0: none */
    int64_t grace;        /* ns between SIGTERM and SIGKILL */
    struct halt halt;
    const char *job_log;
    const char *directory;
    enum progress_mode progress;

    char **command;
    size_t command_count;
    struct source_option *sources;
    size_t source_count;
};

/* Fills `*options`.  Returns true to go on; false when the program is to end with *code: after
 * --help, and after an error, which has been told. */
bool options_parse(struct options *options, int count, char **words, int *code);
void options_free(struct options *options);

#endif
