/* order.h: what a child is told that has nothing of its parent's memory: a file of bytes, which the
 * parent writes before the start, and the descriptors that come with it.
 *
 * Nothing of it is in family memory, so nobody has to clean up after a start that was killed.
 */
#ifndef KIN_PROCESS_ORDER_H
#define KIN_PROCESS_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kin/start.h>

#include "ipc/connection.h"
#include "os/program.h"
#include "os/socket.h"
#include "process/placement.h"
#include "process/process.h"

#define KIN__MAGIC_ORDER 0x726564726f6e696bull

/* Connections and descriptors that one child may be given. */
#define KIN__GIVEN_MOST 200

/* Below this an argument is a number: no memory is there. */
#define KIN__NUMBERS 4096

enum kin__argument {
    KIN__ARGUMENT_WORD, /* a number, or a pointer to family memory */
    KIN__ARGUMENT_CONSTANT,
    KIN__ARGUMENT_CONNECTION, /* `word` says which of the given */
    KIN__ARGUMENT_BYTES,
    KIN__ARGUMENT_VALUE /* a pickle */
};

struct kin__given_connection {
    enum kin__connection_kind kind;
    bool receives;
    bool sends;
    bool local;
};

/* The connections come first among the given descriptors; one more than the options name, at the end of
 * them, is the argument. */
struct kin__order {
    uint64_t magic;
    uint64_t size; /* with the bytes that follow */
    bool server;   /* of a start server; then only `target`, if it has one, is the preload function */
    bool has_target;
    bool daemon;
    bool standard_input;
    int parent;
    enum kin_start_method method; /* what KIN_START_DEFAULT means */
    char name[KIN__PROCESS_NAME_SIZE];
    char parent_name[KIN__PROCESS_NAME_SIZE];
    struct kin__program_place target;
    enum kin__argument argument;
    uint64_t word;
    struct kin__program_place constant;
    uint64_t bytes_size;   /* after the order */
    uint64_t placement_at; /* what is to be set first, from the beginning of the order; 0: nothing */
    bool has_group;        /* the descriptor of its control group comes with it */
    uint32_t connection_count;
    uint32_t named_count; /* connections that the options name */
    uint32_t descriptor_count;
    struct kin__given_connection connections[KIN__GIVEN_MOST];
    /* What this process needs besides, as numbers that a program begun by exec has: the lifeline, and of a
     * server its two sockets; then the given descriptors. */
    int lifeline;
    int control;
    int ends;
    int given[KIN__GIVEN_MOST];
} __attribute__((aligned(64))); /* and so are the bytes after it */

/* What is to be started: the checked options, in the parent. */
struct kin__errand {
    kin_process_function *target;
    void *argument;
    kin_process_options options;
};

/* Begins an order: who gives it. */
void kin__order_sign(struct kin__order *order);

/* An order, and what goes with it. */
#define KIN__ORDER_PARTS 4
struct kin__order_parts {
    struct kin__part parts[KIN__ORDER_PARTS]; /* the order, and the bytes that follow it */
    int stderr_end;                           /* becomes the child's stderr; -1: the caller's stays */
    int control_group;                        /* that the child is to enter itself; -1: none */
    void *pickle;
    void *placement;
};
/* Begins the list with an order that nothing follows. */
void kin__order_begin(struct kin__order_parts *parts, struct kin__order *order);
/* Describes a child to be started; the given descriptors, the parent's own, go into `order->given`.
 * `placement` is what the child is to set itself (NULL: nothing).  kin__order_free follows in any case. */
int kin__order_make(struct kin__order *order, const struct kin__errand *errand, const kin_process *child,
                    const struct kin__placement *placement, struct kin__order_parts *parts);
void kin__order_free(struct kin__order_parts *parts);
/* Writes it down; returns a descriptor. */
int kin__order_write(const struct kin__order_parts *parts);
/* Is that a whole one? */
bool kin__order_is_good(const void *bytes, size_t size);
/* Reads one, in the process that it is for: it stays mapped.  -EBADF: it is none. */
int kin__order_read(int descriptor, struct kin__order **order);

/* By another method than fork: starts a child that is none of the program's, but the library's own: it is not
 * listed, nor waited for at the end.  Returns its pid, and a descriptor of it, by which, if it was not
 * forked by a server, it has to be collected.  Errors: those of kin_process_start. */
int kin__process_begin(kin_process_function *target, void *argument, const kin_process_options *options,
                       int *descriptor);

/* Of whatever is started: is that a method, and a name (NULL: none) of at most `most` bytes?  0, or -EINVAL
 * with words. */
int kin__start_check_method(enum kin_start_method method);
int kin__start_check_name(const char *name, size_t most);

/* In a child: the program's method is its parent's. */
void kin__start_method_inherit(enum kin_start_method inherited);

/* What is to be run. */
struct kin__work {
    kin_process_function *target;
    void *argument;
};
/* Carries an order out, short of running it: the given descriptors, in the order of the list, are this
 * process's from then on.  `target` is where its function is, if that is known (NULL: not). */
int kin__order_unpack(struct kin__order *order, const int *given, const void *target, struct kin__work *work);
/* Sets what the order wants to be set; after an error `setting` tells where that was. */
int kin__order_settle(struct kin__order *order, int control_group, struct kin__setting *setting);

#endif
