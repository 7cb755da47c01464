/* reference.c: see reference.h.
 *
 * A session has at most one struct for each object: how often it refers to it, and whether the object is lent to
 * it.  A thread's session is lent what answers name, and the session of its process makes references; by the
 * names that clients tell the server knows which are of one process.
 *
 * Invariants:
 * - Each struct is in its bucket, in session->references, and if it is lent in session->lent, which begins with
 *   what was lent longest ago, and in object->lent.
 * - It counts or is lent; for both of these it has one reference of the object.
 */
#include "manager/reference.h"

#include <errno.h>

#include "manager/object.h"
#include "os/os.h"

#define FIRST_BUCKETS 64

/* So much stays lent to a session that makes no references of it. */
#define LENT_MOST 4096

struct reference {
    struct reference *next;       /* in its bucket */
    struct kin__links in_session; /* in session->references */
    struct kin__links lent;       /* in session->lent */
    struct kin__links lent_by;    /* in object->lent */
    struct kin__session *session;
    struct kin__managed *object;
    size_t count;
    uint64_t answer; /* of the session's, in which it was lent last; 0: it is not lent */
};

/* ---- the table ------------------------------------------------------------------------------------------ */

static struct reference **bucket_of(const struct kin__references *all, const struct kin__session *session,
                                    const struct kin__managed *object)
{
    uint64_t mixed = ((uintptr_t)session >> 4 ^ object->number) * 0x9e3779b97f4a7c15U;
    return (struct reference **)(void *)&all->buckets[(mixed >> 32) & (all->bucket_count - 1)];
}

static int grow(struct kin__references *all)
{
    struct kin__references larger = *all;
    larger.bucket_count = all->bucket_count == 0 ? FIRST_BUCKETS : 2 * all->bucket_count;
    larger.buckets = kin__os_calloc(larger.bucket_count, sizeof *larger.buckets);
    if (larger.buckets == NULL) return -ENOMEM;
    for (size_t i = 0; i < all->bucket_count; i++) {
        struct reference *next;
        for (struct reference *reference = all->buckets[i]; reference != NULL; reference = next) {
            struct reference **bucket = bucket_of(&larger, reference->session, reference->object);
            next = reference->next;
            reference->next = *bucket;
            *bucket = reference;
        }
    }
    kin__os_free(all->buckets);
    *all = larger;
    return 0;
}

static struct reference *find(struct kin__session *session, const struct kin__managed *object)
{
    const struct kin__references *all = &session->server->references;
    if (all->bucket_count == 0) return NULL;
    struct reference *reference = *bucket_of(all, session, object);
    while (reference != NULL && (reference->session != session || reference->object != object))
        reference = reference->next;
    return reference;
}

static void put_in(struct reference *reference)
{
    struct kin__references *all = &reference->session->server->references;
    struct reference **bucket = bucket_of(all, reference->session, reference->object);
    reference->next = *bucket;
    *bucket = reference;
    all->count++;
}

static void take_out(struct reference *reference)
{
    struct kin__references *all = &reference->session->server->references;
    struct reference **at = bucket_of(all, reference->session, reference->object);
    while (*at != reference) at = &(*at)->next;
    *at = reference->next;
    all->count--;
}

static struct reference *find_or_make(struct kin__session *session, struct kin__managed *object)
{
    struct kin__references *all = &session->server->references;
    struct reference *reference = find(session, object);
    if (reference != NULL) return reference;
    if (all->count >= all->bucket_count && grow(all) < 0 && all->bucket_count == 0) return NULL;
    reference = kin__os_calloc(1, sizeof *reference);
    if (reference == NULL) return NULL;
    reference->session = session;
    reference->object = object;
    kin__links_init(&reference->lent);
    kin__links_init(&reference->lent_by);
    kin__links_append(&session->references, &reference->in_session);
    put_in(reference);
    return reference;
}

/* Frees it once it neither counts nor is lent; then the object may be gone. */
static void let_go(struct reference *reference)
{
    struct kin__session *session = reference->session;
    struct kin__managed *object = reference->object;
    if (reference->count == 0 && reference->answer == 0) {
        take_out(reference);
        kin__links_remove(&reference->in_session);
        kin__os_free(reference);
    }
    kin__managed_decref(session->server, object);
}

/* ---- lending ------------------------------------------------------------------------------------------------ */

static void end_loan(struct reference *reference)
{
    kin__links_remove(&reference->lent);
    kin__links_remove(&reference->lent_by);
    reference->session->lent_count--;
    reference->answer = 0;
    let_go(reference);
}

int kin__reference_lend(struct kin__session *session, struct kin__managed *object)
{
    struct reference *reference = find_or_make(session, object);
    if (reference == NULL) return -ENOMEM;
    if (reference->answer == 0) {
        kin__managed_incref(object);
        kin__links_append(&object->lent, &reference->lent_by);
        session->lent_count++;
    }
    reference->answer = session->answers;
    kin__links_remove(&reference->lent);
    kin__links_append(&session->lent, &reference->lent);
    /* What one answer names is all there when the client has it. */
    size_t most = session->server->reference_most;
    while (session->lent_count > (most != 0 && most < LENT_MOST ? most : LENT_MOST)) {
        struct reference *oldest = kin__links_entry(session->lent.next, struct reference, lent);
        if (oldest->answer == session->answers) break;
        end_loan(oldest);
    }
    return 0;
}

/* The client has a reference of its own now: of what is lent to its sessions one is enough for that. */
static void claim(struct kin__session *session, struct kin__managed *object)
{
    for (struct kin__links *link = object->lent.next; link != &object->lent; link = link->next) {
        struct reference *reference = kin__links_entry(link, struct reference, lent_by);
        const struct kin__session *to = reference->session;
        if (to != session && (session->process == 0 || to->process != session->process)) continue;
        end_loan(reference);
        return;
    }
}

/* ---- counting ----------------------------------------------------------------------------------------------- */

int kin__reference_add(struct kin__session *session, struct kin__managed *object)
{
    struct reference *reference = find_or_make(session, object);
    if (reference == NULL) return -ENOMEM;
    kin__managed_incref(object);
    reference->count++;
    session->objects++;
    claim(session, object);
    return 0;
}

static void count_down(struct reference *reference)
{
    reference->count--;
    reference->session->objects--;
    let_go(reference);
}

bool kin__reference_remove(struct kin__session *session, struct kin__managed *object)
{
    struct reference *reference = find(session, object);
    if (reference == NULL || reference->count == 0) return false;
    count_down(reference);
    return true;
}

/* ---- all of a session's ---------------------------------------------------------------------------------------- */

static struct reference *first_of(struct kin__session *session)
{
    return kin__links_entry(session->references.next, struct reference, in_session);
}

void kin__references_take_over(struct kin__session *session, struct kin__session *old)
{
    while (!kin__links_empty(&old->references)) {
        struct reference *reference = first_of(old);
        take_out(reference);
        reference->session = session;
        put_in(reference);
        kin__links_remove(&reference->in_session);
        kin__links_append(&session->references, &reference->in_session);
    }
    while (!kin__links_empty(&old->lent)) {
        struct kin__links *link = old->lent.next;
        kin__links_remove(link);
        kin__links_append(&session->lent, link);
    }
    session->objects += old->objects;
    session->lent_count += old->lent_count;
    session->answers = old->answers;
    old->objects = old->lent_count = 0;
}

void kin__references_drop(struct kin__session *session)
{
    while (!kin__links_empty(&session->references)) {
        struct reference *reference = first_of(session);
        if (reference->count > 0)
            count_down(reference);
        else
            end_loan(reference);
    }
}

void kin__references_free(struct kin__references *references)
{
    kin__os_free(references->buckets);
}
