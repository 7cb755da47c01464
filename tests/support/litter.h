/* litter.h: what a process has open, to tell what an operation left behind. */
#ifndef LITTER_H
#define LITTER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum litter_kinds {
    LITTER_DESCRIPTORS = 1,
    LITTER_THREADS = 2,
    LITTER_MAPPINGS = 4, /* counts them, without the heap and stacks of libc */
    LITTER_CHILDREN = 8
};

struct litter_descriptor {
    int number;
    char target[100]; /* as /proc/self/fd shows it */
};

#define LITTER_DESCRIPTORS_MOST 512
#define LITTER_CHILDREN_MOST    256

struct litter {
    struct litter_descriptor descriptors[LITTER_DESCRIPTORS_MOST];
    size_t descriptor_count;
    pid_t children[LITTER_CHILDREN_MOST];
    size_t child_count;
    long threads;
    long mappings;
};

/* Notes what the calling process has open now. */
void litter_note(struct litter *litter);

/* Compares with what is open now, of the given kinds.  What is more than before is written
 * into `text`; returns whether there is any.  What a family keeps open once it exists does
 * not count: its memory and one lifeline pipe.  Threads and children that are on their way
 * out get two seconds to finish. */
bool litter_compare(const struct litter *before, unsigned kinds, char *text, size_t size);

/* The processes whose parent is `parent`; returns how many there are, at most `most`. */
size_t litter_children(pid_t parent, pid_t *children, size_t most);

#endif
