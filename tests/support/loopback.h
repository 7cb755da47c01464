/* loopback.h: peers on this machine that come from another address of it. */
#ifndef LOOPBACK_H
#define LOOPBACK_H

/* A socket that is bound to `source`, such as "127.0.0.2", and connected to "tcp://127.0.0.1:PORT". */
int loopback_connect(const char *source, const char *address);

#endif
