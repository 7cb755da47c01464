/* wire.h: the messages between a manager and its clients, as Python has them: a request is the
 * tuple (ident, method, arguments, keywords), an answer the tuple (kind, value), each a pickle in a
 * frame. */
#ifndef KIN_MANAGER_WIRE_H
#define KIN_MANAGER_WIRE_H

#include <stdint.h>

#include <kin/value.h>

#include "manager/buffer.h"

/* Room for an address as text. */
#define KIN__ADDRESS_SIZE 256

/* The kinds of answers. */
#define KIN__ANSWER_RETURN         "#RETURN"
#define KIN__ANSWER_ERROR          "#ERROR"
#define KIN__ANSWER_TRACEBACK      "#TRACEBACK"
#define KIN__ANSWER_UNSERIALIZABLE "#UNSERIALIZABLE"
#define KIN__ANSWER_PROXY          "#PROXY"

/* A client that calls itself this, and a server that answers so when it does, are both kin's.  Behind it the
 * client may tell its identity (absence.h): "kin/1 NAME NUMBER"; a server where clients may come back answers
 * with a tuple: this, for how many nanoseconds, and how many requests of that client have been answered. */
#define KIN__WIRE_CLIENT "kin/1"

/* The server call by which a client that may come back asks for the answers to several of its requests, so many at
 * most, to be kept for it; else one is. */
#define KIN__WIRE_KEEP   "keep_answers"
#define KIN__WIRE_WINDOW 256

/* A manager's address as Python has it: a tuple of host and port, a str, or bytes. */
kin_value kin__address_value(const char *address);

/* Appends the frame of a value; of an answer of about `most` bytes at most.  Errors, after which nothing has changed:
 * -EMSGSIZE, those of kin_pickle_dumps. */
int kin__wire_message(struct kin__buffer *out, const kin_value *value);
int kin__wire_answer(struct kin__buffer *out, const char *kind, const kin_value *value, size_t most);

#endif
