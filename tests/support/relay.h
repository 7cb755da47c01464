/* relay.h: a process that stands between clients and a server on TCP, as a slow and bad network does.
 *
 *     struct relay relay = relay_start("tcp://127.0.0.1:40123", 20);
 *     …clients connect to relay.address; every byte takes 20 ms each way…
 *     relay_cut(&relay);           all connections are broken; new ones can be made
 *     relay_end(&relay);           and now they cannot
 */
#ifndef RELAY_H
#define RELAY_H

#include <sys/types.h>

struct relay_state;

struct relay {
    char address[64];
    pid_t process;
    struct relay_state *state; /* shared with that process */
};

struct relay relay_start(const char *to, unsigned delay_ms);
/* Returns when they are broken: how many there were. */
long relay_cut(struct relay *relay);
/* How many connections have been let through so far. */
long relay_opened(const struct relay *relay);
/* Lets so many more connections through; those that come then wait.  -1: all, as at the start. */
void relay_admit(struct relay *relay, long most);
void relay_end(struct relay *relay);

#endif
