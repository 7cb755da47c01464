/* hosts.h: hosts on a network, each of which is a network namespace: host 0 in the middle, joined to each of the others.
 *
 *     hosts_make(2);
 *     …in a child:  hosts_enter(owner, 0);  a server listens at tcp://0.0.0.0:0
 *     …in another:  hosts_enter(owner, 1);  a client connects to tcp://10.83.1.1:PORT
 *     hosts_link(1, false);                 every packet between the two is lost
 *     hosts_remove(2);
 *
 * `owner` is the process that has made them.
 */
#ifndef HOSTS_H
#define HOSTS_H

#include <stdbool.h>
#include <sys/types.h>

/* Skips the case where no network can be made. */
void hosts_make(int count);
void hosts_remove(int count);
void hosts_link(int host, bool up);
/* The calling thread is on that host from now on. */
void hosts_enter(pid_t owner, int host);

#endif
