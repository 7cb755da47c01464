/* handover.h: what a start server and its client exchange: packets with many descriptors, files of
 * bytes, and the ends of children.  The rules of os.h hold here too. */
#ifndef KIN_OS_HANDOVER_H
#define KIN_OS_HANDOVER_H

#include <stddef.h>

#include <kin/process.h>

#include "os/socket.h"

/* The kernel takes 253 in one packet. */
#define KIN__HANDOVER_MOST 250

/* Sends the parts as one packet with copies of the descriptors; waits for room.  -EPIPE: nobody reads
 * there. */
int kin__os_handover_send(int socket, const struct kin__part *parts, size_t part_count,
                          const int *descriptors, size_t count);
/* Receives one; returns its size, 0 at the end.  `*count` is how many came, which are the caller's to
 * close.  -EAGAIN: without `wait`, there is none; -EMFILE: some of its descriptors are lost. */
long kin__os_handover_receive(int socket, void *bytes, size_t size, int *descriptors, size_t *count,
                              bool wait);

/* Makes an anonymous file of these parts, one after the other; returns its descriptor. */
int kin__os_bytes_make(const char *name, const struct kin__part *parts, size_t count);
/* Maps such a file, private and writable. */
int kin__os_bytes_map(int descriptor, void **bytes, size_t *size);

/* Copies a descriptor to the lowest free number from `least` on, close-on-exec. */
int kin__os_descriptor_copy(int descriptor, int least);
/* Makes `descriptor` the one of number `target`, which is open in programs started by exec too, and
 * closes it. */
int kin__os_descriptor_move(int descriptor, int target);
/* A descriptor of the working directory; and from it to the directory. */
int kin__os_directory_open(void);
int kin__os_directory_enter(int descriptor);

/* From now on this process learns by the descriptor that is returned (readable) of ends of its
 * children; Ctrl-C and Ctrl-\ do not reach it. */
int kin__os_children_watch(void);
/* Reads what there was; then all children that have ended are collected. */
void kin__os_children_look(int watch);
/* In a child: closes it, and lets all signals through. */
void kin__os_children_unwatch(int watch);
/* Collects one child that has ended; returns its pid, 0 when there is none. */
int kin__os_child_collect(kin_exit_status *status);

/* How many threads this process has. */
int kin__os_thread_count(void);

#endif
