/* progress.h: the line on standard error that shows how far the run is. */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "options.h"

struct progress_figures {
    uint64_t done;
    uint64_t failed;
    unsigned running;
    double total; /* 0: unknown */
};

void progress_open(enum progress_mode mode);
/* Shows the figures if it is time to; returns when it is next, KIN_FOREVER for never. */
int64_t progress_show(const struct progress_figures *figures);
/* Takes the line off the terminal, before something else is written there. */
void progress_hide(void);
/* The last state, and no more. */
void progress_close(const struct progress_figures *figures);

/* "1:05", "2:03:04" */
void progress_time(double seconds, char *text, size_t size);

#endif
