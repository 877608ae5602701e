/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-bpe"

#include "zie-bpe.h"

#include <string.h>

#define NONE G_MAXUINT32

typedef struct
{
  gsize at;                 /* in the blob */
  guint32 length;           /* 0: no such id */
} Token;

typedef struct
{
  guint64 pair;             /* left id << 32 | right id */
  guint32 rank;             /* NONE: an empty slot */
  guint32 id;               /* of the merged token */
} Merge;

/* Two open-addressing tables, at most half full, sizes powers of two.  The hashes are salted: the strings come from a file
 * that may have been made to collide. */
struct _ZieBpe
{
  GByteArray *blob;         /* owned: the bytes of all tokens */
  GArray *tokens;           /* owned: Token by id */
  guint32 *strings;         /* owned: ids, NONE = empty */
  gsize n_strings, strings_size;
  Merge *merges;            /* owned */
  gsize n_merges, merges_size;
  guint32 n_ranks;
  guint32 byte_ids[256];    /* NONE: not a token */
  guint64 salt;
};

ZieBpe *
zie_bpe_new (void)
{
  ZieBpe *self = g_new0 (ZieBpe, 1);

  self->blob = g_byte_array_new ();
  self->tokens = g_array_new (FALSE, TRUE, sizeof (Token));
  memset (self->byte_ids, 0xff, sizeof self->byte_ids);
  self->salt = (guint64)g_random_int () << 32 | g_random_int ();
  return self;
}

void
zie_bpe_free (ZieBpe *self)
{
  if (self == NULL)
    return;

  g_byte_array_unref (self->blob);
  g_array_unref (self->tokens);
  g_free (self->strings);
  g_free (self->merges);
  g_free (self);
}

static guint64
mix (guint64 h)
{
  h ^= h >> 32;
  h *= G_GUINT64_CONSTANT (0xd6e8feb86659fd93);
  h ^= h >> 32;
  h *= G_GUINT64_CONSTANT (0xd6e8feb86659fd93);
  return h ^ h >> 32;
}

static guint64
hash_bytes (const ZieBpe *self, const guint8 *bytes, gsize length)
{
  guint64 h = self->salt ^ length, word;

  for (; length >= 8; bytes += 8, length -= 8)
    {
      memcpy (&word, bytes, 8);
      h = mix (h ^ word);
    }
  word = 0;
  memcpy (&word, bytes, length);
  return mix (h ^ word);
}

/* The slot that holds the id of these bytes, or the empty one where it would go. */
static gsize
string_slot (const ZieBpe *self, const guint8 *bytes, gsize length)
{
  gsize mask = self->strings_size - 1;
  gsize slot = hash_bytes (self, bytes, length) & mask;

  for (;; slot = (slot + 1) & mask)
    {
      guint32 id = self->strings[slot];
      const Token *token;

      if (id == NONE)
        return slot;
      token = &g_array_index (self->tokens, Token, id);
      if (token->length == length && memcmp (self->blob->data + token->at, bytes, length) == 0)
        return slot;
    }
}

static void
grow_strings (ZieBpe *self)
{
  g_autofree guint32 *old = g_steal_pointer (&self->strings);
  gsize old_size = self->strings_size;

  self->strings_size = MAX (old_size * 2, 1024);
  self->strings = g_new (guint32, self->strings_size);
  memset (self->strings, 0xff, self->strings_size * sizeof *self->strings);

  for (gsize i = 0; i < old_size; i++)
    {
      const Token *token;

      if (old[i] == NONE)
        continue;
      token = &g_array_index (self->tokens, Token, old[i]);
      self->strings[string_slot (self, self->blob->data + token->at, token->length)] = old[i];
    }
}

gboolean
zie_bpe_add_token (ZieBpe *self, const guint8 *bytes, gsize length, guint32 id)
{
  Token token = { self->blob->len, (guint32)length };
  gsize slot;

  g_assert (length > 0 && id <= ZIE_BPE_MAX_ID);

  if (self->n_strings * 2 >= self->strings_size)
    grow_strings (self);

  slot = string_slot (self, bytes, length);
  if (self->strings[slot] != NONE)
    return FALSE;
  if (id < self->tokens->len && g_array_index (self->tokens, Token, id).length > 0)
    return FALSE;

  g_byte_array_append (self->blob, bytes, (guint)length);
  if (id >= self->tokens->len)
    g_array_set_size (self->tokens, id + 1);
  g_array_index (self->tokens, Token, id) = token;
  self->strings[slot] = id;
  self->n_strings++;
  if (length == 1)
    self->byte_ids[bytes[0]] = id;
  return TRUE;
}

gboolean
zie_bpe_find (const ZieBpe *self, const guint8 *bytes, gsize length, guint32 *id)
{
  gsize slot;

  if (self->strings_size == 0)
    return FALSE;

  slot = string_slot (self, bytes, length);
  *id = self->strings[slot];
  return *id != NONE;
}

const guint8 *
zie_bpe_get_token (const ZieBpe *self, guint32 id, gsize *length)
{
  const Token *token;

  if (id >= self->tokens->len)
    return NULL;

  token = &g_array_index (self->tokens, Token, id);
  *length = token->length;
  return token->length > 0 ? self->blob->data + token->at : NULL;
}

guint
zie_bpe_get_vocab_size (const ZieBpe *self)
{
  return self->tokens->len;
}

static Merge *
merge_slot (const ZieBpe *self, guint64 pair)
{
  gsize mask = self->merges_size - 1;
  gsize slot = mix (pair ^ self->salt) & mask;

  while (self->merges[slot].rank != NONE && self->merges[slot].pair != pair)
    slot = (slot + 1) & mask;
  return &self->merges[slot];
}

static void
grow_merges (ZieBpe *self)
{
  g_autofree Merge *old = g_steal_pointer (&self->merges);
  gsize old_size = self->merges_size;

  self->merges_size = MAX (old_size * 2, 1024);
  self->merges = g_new (Merge, self->merges_size);
  memset (self->merges, 0xff, self->merges_size * sizeof *self->merges);

  for (gsize i = 0; i < old_size; i++)
    if (old[i].rank != NONE)
      *merge_slot (self, old[i].pair) = old[i];
}

gboolean
zie_bpe_add_merge (ZieBpe *self, guint32 left, guint32 right)
{
  g_autofree guint8 *large = NULL;
  guint8 small[256], *bytes = small;
  const guint8 *left_bytes, *right_bytes;
  gsize left_length = 0, right_length = 0;
  guint64 pair = (guint64)left << 32 | right;
  guint32 id;
  Merge *merge;

  left_bytes = zie_bpe_get_token (self, left, &left_length);
  right_bytes = zie_bpe_get_token (self, right, &right_length);
  g_assert (left_bytes != NULL && right_bytes != NULL);

  if (left_length + right_length > sizeof small)
    bytes = large = g_malloc (left_length + right_length);
  memcpy (bytes, left_bytes, left_length);
  memcpy (bytes + left_length, right_bytes, right_length);
  if (!zie_bpe_find (self, bytes, left_length + right_length, &id))
    return FALSE;

  if (self->n_merges * 2 >= self->merges_size)
    grow_merges (self);

  merge = merge_slot (self, pair);
  if (merge->rank == NONE)
    self->n_merges++;
  *merge = (Merge) { pair, self->n_ranks++, id };
  return TRUE;
}

/* A piece of the word: a doubly linked list in an array, whose indices never change. */
typedef struct
{
  guint32 id;
  guint32 previous, next;   /* NONE at the ends */
  gboolean is_gone;         /* swallowed by its left neighbour */
} Symbol;

/* A merge that was possible when it was queued. */
typedef struct
{
  guint32 rank;
  guint32 at;               /* the left symbol */
  guint32 id;               /* what it becomes */
} Candidate;

struct _ZieBpeScratch
{
  GArray *symbols;          /* owned: Symbol */
  GArray *heap;             /* owned: Candidate, the least (rank, at) first */
};

ZieBpeScratch *
zie_bpe_scratch_new (void)
{
  ZieBpeScratch *self = g_new (ZieBpeScratch, 1);

  self->symbols = g_array_new (FALSE, FALSE, sizeof (Symbol));
  self->heap = g_array_new (FALSE, FALSE, sizeof (Candidate));
  return self;
}

void
zie_bpe_scratch_free (ZieBpeScratch *self)
{
  if (self == NULL)
    return;

  g_array_unref (self->symbols);
  g_array_unref (self->heap);
  g_free (self);
}

static gboolean
is_before (const Candidate *a, const Candidate *b)
{
  return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void
heap_push (GArray *heap, Candidate candidate)
{
  Candidate *items;
  guint i = heap->len;

  g_array_append_val (heap, candidate);
  items = (Candidate *)(void *)heap->data;
  for (; i > 0 && is_before (&candidate, &items[(i - 1) / 2]); i = (i - 1) / 2)
    items[i] = items[(i - 1) / 2];
  items[i] = candidate;
}

static Candidate
heap_pop (GArray *heap)
{
  Candidate *items = (Candidate *)(void *)heap->data;
  Candidate top = items[0], last = items[heap->len - 1];
  guint n = heap->len - 1, i = 0, child;

  g_array_set_size (heap, n);
  if (n == 0)
    return top;

  for (; (child = 2 * i + 1) < n; i = child)
    {
      if (child + 1 < n && is_before (&items[child + 1], &items[child]))
        child++;
      if (!is_before (&items[child], &last))
        break;
      items[i] = items[child];
    }
  items[i] = last;
  return top;
}

/* The merge of symbol AT with its right neighbour, or NULL. */
static const Merge *
find_merge (const ZieBpe *self, const Symbol *symbols, guint32 at)
{
  const Merge *merge;

  if (self->merges_size == 0 || symbols[at].next == NONE)
    return NULL;

  merge = merge_slot (self, (guint64)symbols[at].id << 32 | symbols[symbols[at].next].id);
  return merge->rank != NONE ? merge : NULL;
}

static void
queue_merge (const ZieBpe *self, ZieBpeScratch *scratch, const Symbol *symbols, guint32 at)
{
  const Merge *merge = find_merge (self, symbols, at);

  if (merge != NULL)
    heap_push (scratch->heap, (Candidate) { merge->rank, at, merge->id });
}

void
zie_bpe_encode (const ZieBpe *self, ZieBpeScratch *scratch, const guint8 *word, gsize length, GArray *out)
{
  Symbol *symbols;

  if (length == 0)
    return;

  g_array_set_size (scratch->symbols, (guint)length);
  g_array_set_size (scratch->heap, 0);
  symbols = (Symbol *)(void *)scratch->symbols->data;

  for (guint32 i = 0; i < length; i++)
    {
      guint32 id = self->byte_ids[word[i]];

      g_assert (id != NONE);
      symbols[i] = (Symbol) { id, i > 0 ? i - 1 : NONE, i + 1 < length ? i + 1 : NONE, FALSE };
    }
  for (guint32 i = 0; i < length; i++)
    queue_merge (self, scratch, symbols, i);

  while (scratch->heap->len > 0)
    {
      Candidate best = heap_pop (scratch->heap);
      const Merge *merge;
      Symbol *left = &symbols[best.at];

      /* Either neighbour may have changed since: then this candidate is stale, and a newer one is queued if any. */
      if (left->is_gone || !(merge = find_merge (self, symbols, best.at)) || merge->rank != best.rank)
        continue;

      left->id = best.id;
      symbols[left->next].is_gone = TRUE;
      left->next = symbols[left->next].next;
      if (left->next != NONE)
        symbols[left->next].previous = best.at;

      queue_merge (self, scratch, symbols, best.at);
      if (left->previous != NONE)
        queue_merge (self, scratch, symbols, left->previous);
    }

  for (guint32 i = 0; i != NONE; i = symbols[i].next)
    g_array_append_val (out, symbols[i].id);
}
