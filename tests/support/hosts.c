/* hosts.c: see hosts.h. */
#define _GNU_SOURCE
#include "hosts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "test.h"

#define NAMESPACES "/var/run/netns"

static int run(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int run(const char *format, ...)
{
    char command[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    return system(command);
}

/* A case that failed has left its own. */
static void remove_abandoned(void)
{
    DIR *directory = opendir(NAMESPACES);
    int owner, host, length;
    if (directory == NULL) return;
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (sscanf(entry->d_name, "kin-%d-%d%n", &owner, &host, &length) != 2 ||
            entry->d_name[length] != '\0' || owner <= 0 || kill(owner, 0) == 0 || errno != ESRCH)
            continue;
        /* Another case may be about it too. */
        run("ip netns del kin-%d-%d 2>/dev/null", owner, host);
    }
    closedir(directory);
}

void hosts_make(int count)
{
    int self = (int)getpid();
    remove_abandoned();
    if (run("ip netns add kin-%d-0 2>/dev/null", self) != 0)
        SKIP("there is no ip, or no right to make a network");
    CHECK_EQ(run("ip -n kin-%d-0 link set lo up", self), 0);
    for (int i = 1; i <= count; i++) {
        CHECK_EQ(run("ip netns add kin-%d-%d", self, i), 0);
        CHECK_EQ(
            run("ip link add p%d netns kin-%d-0 type veth peer name w netns kin-%d-%d", i, self, self, i), 0);
        CHECK_EQ(run("ip -n kin-%d-0 addr add 10.83.%d.1/24 dev p%d && ip -n kin-%d-0 link set p%d up", self,
                     i, i, self, i),
                 0);
        CHECK_EQ(run("ip -n kin-%d-%d addr add 10.83.%d.2/24 dev w && ip -n kin-%d-%d link set w up", self, i,
                     i, self, i),
                 0);
    }
}

void hosts_remove(int count)
{
    for (int i = 0; i <= count; i++) CHECK_EQ(run("ip netns del kin-%d-%d", (int)getpid(), i), 0);
}

void hosts_link(int host, bool up)
{
    CHECK_EQ(run("ip -n kin-%d-0 link set p%d %s", (int)getpid(), host, up ? "up" : "down"), 0);
}

void hosts_enter(pid_t owner, int host)
{
    char path[64];
    snprintf(path, sizeof path, NAMESPACES "/kin-%d-%d", (int)owner, host);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    CHECK_OK(descriptor);
    CHECK_OK(setns(descriptor, CLONE_NEWNET));
    close(descriptor);
}
