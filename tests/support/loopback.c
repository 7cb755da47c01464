/* loopback.c: see loopback.h. */
#define _GNU_SOURCE
#include "loopback.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>

#include "test.h"

int loopback_connect(const char *source, const char *address)
{
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
    int port = 0;
    CHECK_EQ(inet_pton(AF_INET, source, &from.sin_addr), 1);
    CHECK_EQ(inet_pton(AF_INET, "127.0.0.1", &to.sin_addr), 1);
    CHECK_EQ(sscanf(address, "tcp://127.0.0.1:%d", &port), 1);
    to.sin_port = htons((uint16_t)port);
    int made = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_OK(made);
    CHECK_EQ(bind(made, (struct sockaddr *)&from, sizeof from), 0);
    CHECK_EQ(connect(made, (struct sockaddr *)&to, sizeof to), 0);
    return made;
}
