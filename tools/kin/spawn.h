/* spawn.h: starting a program, at a cost that does not depend on the tool's own size. */
#ifndef SPAWN_H
#define SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

struct spawn {
    const char *program; /* a path */
    char **words;        /* words[0] is free for the name of an interpreter; the program's own
                            name is words[1] */
    int in;              /* what becomes its standard descriptors */
    int out;
    int err;
    const char *directory; /* NULL: the tool's */
};

/* Starts it as the leader of a process group of its own; it gets SIGTERM should the tool die.
 * Returns the pid, or -errno when it could not be started. */
pid_t spawn(const struct spawn *spawn);

/* Looks the program up as execvp does.  Returns 0, or -errno that tells why there is none. */
int spawn_find(const char *name, char *path, size_t size);

/* Allows the tool more descriptors, its children as many as before. */
void spawn_raise_limit(void);
unsigned spawn_descriptor_limit(void);

#endif
