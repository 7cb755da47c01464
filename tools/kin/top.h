/* top.h: the command `kin top`, and the forms in which it shows the families. */
#ifndef TOP_H
#define TOP_H

#include <stdbool.h>

#include "buffer.h"
#include "look.h"
#include "output.h"

/* words[0] is "top".  Returns the exit code. */
int top_main(int count, char **words);

/* ---- top_text.c: for people -------------------------------------------------------------------- */

struct text_style {
    bool colours;
    bool all; /* also locks that nobody has, and the queues of pools */
};
/* Adds lines that tell of all families. */
void text_add(struct buffer *text, const struct looks *looks, const struct text_style *style);

/* ---- top_json.c, top_metrics.c: for programs ------------------------------------------------------- */

/* 0, or -errno of output_add. */
int top_json(struct output *out, const struct looks *looks);
/* In the format of OpenMetrics 1.0. */
void top_metrics(struct buffer *text, const struct looks *looks);

/* ---- top_screen.c: on a terminal ------------------------------------------------------------------- */

struct screen_options {
    kin_inspect_options families;
    int64_t interval_ns;
    struct text_style style;
};
/* Shows the families again and again, until `q` or a signal.  Returns the exit code. */
int top_screen(struct looks *looks, const struct screen_options *options);

#endif
