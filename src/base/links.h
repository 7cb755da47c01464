/* links.h: a ring of links that are embedded in what is listed.
 *
 *     struct kin__links waiting;                       kin__links_init(&waiting);
 *     struct waiter { struct kin__links link; … };     kin__links_append(&waiting, &w->link);
 *     struct waiter *first = kin__links_entry(waiting.next, struct waiter, link);
 *
 * A link that is in no ring points to itself, so that removing it again does nothing.  For
 * private memory only.
 */
#ifndef KIN_BASE_LINKS_H
#define KIN_BASE_LINKS_H

#include <stdbool.h>
#include <stddef.h>

struct kin__links {
    struct kin__links *next;
    struct kin__links *previous;
};

#define kin__links_entry(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

static inline void kin__links_init(struct kin__links *list)
{
    list->next = list->previous = list;
}

static inline bool kin__links_empty(const struct kin__links *list)
{
    return list->next == list;
}

static inline void kin__links_append(struct kin__links *list, struct kin__links *link)
{
    link->next = list;
    link->previous = list->previous;
    list->previous->next = link;
    list->previous = link;
}

static inline void kin__links_remove(struct kin__links *link)
{
    link->previous->next = link->next;
    link->next->previous = link->previous;
    kin__links_init(link);
}

#endif
