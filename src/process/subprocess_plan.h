/* subprocess_plan.h: from the options to what one start needs; between subprocess_plan.c, which
 * finds and copies, and subprocess_start.c, which opens and starts. */
#ifndef KIN_PROCESS_SUBPROCESS_PLAN_H
#define KIN_PROCESS_SUBPROCESS_PLAN_H

#include <kin/subprocess.h>

#include "os/spawn.h"
#include "process/placement.h"

/* What does not differ between the commands of a pipeline. */
struct kin__plan {
    const kin_subprocess_options *options;
    struct kin__spawn spawn; /* the parts that are the same for all */
    struct kin__placement placement;
    int *keep;
};

/* Checks the options and looks up what they name.  0 or a negative code, with words; either way
 * kin__plan_free follows. */
int kin__plan_make(struct kin__plan *plan, const kin_subprocess_options *options);
void kin__plan_free(struct kin__plan *plan);

/* What one command is run by: fills in the programs and the words of `spawn`. */
struct kin__words {
    const char **words; /* the first is free */
    char *programs;
};
int kin__words_make(struct kin__words *words, const struct kin__plan *plan, const char *const *argv,
                    struct kin__spawn *spawn);
void kin__words_free(struct kin__words *words);

#endif
