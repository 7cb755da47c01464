/* pattern.h: the command with its {} forms, and what becomes of it for one job. */
#ifndef PATTERN_H
#define PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#include "job.h"

enum pattern_mode {
    PATTERN_DIRECT, /* words, given to the program as they are */
    PATTERN_SHELL,  /* one text for /bin/sh, values quoted in it */
    PATTERN_SCRIPT, /* one text for /bin/sh, values as they are: they are the commands */
    PATTERN_TEXT    /* one text */
};

struct pattern;

/* Parses `count` words.  Where no {} form stands in them and `append` is set, {} is added as
 * the last word.  `replace` stands for {}, unless it is NULL. */
struct pattern *pattern_parse(char *const *words, size_t count, enum pattern_mode mode, const char *replace,
                              bool append);
void pattern_free(struct pattern *pattern);

/* What stands before the words where the command is shown: the name of a function. */
void pattern_set_name(struct pattern *pattern, const char *name);
const char *pattern_name(const struct pattern *pattern); /* NULL: none */

/* Whether a {} form stands in it. */
bool pattern_varies(const struct pattern *pattern);
/* Whether one stands in the name of the program. */
bool pattern_program_varies(const struct pattern *pattern);
/* Whether the pattern is {} and nothing else. */
bool pattern_is_input(const struct pattern *pattern);
/* Whether a word, its {} forms left out, holds a character that means something to a shell. */
bool pattern_needs_shell(const char *word, const char *replace);

/* The words of a job's command, ended by NULL, in words[1] and on; words[0] is room for the
 * name of an interpreter.  All-zero to begin with; used again and again. */
struct command {
    struct buffer text;
    size_t *starts;
    char **words;
    size_t count;
    size_t capacity;
};

void pattern_expand(const struct pattern *pattern, const struct job *job, struct command *command);
void command_free(struct command *command);
/* The command as one could type it; valid until the next call. */
const char *pattern_display(const struct pattern *pattern, const struct job *job);

#endif
