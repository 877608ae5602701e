/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-hub"

#include "zie-hub-private.h"

#include <string.h>

#include <zie/zie-version.h>

#define MAX_REDIRECTS 10
#define STATUS_TOO_MANY_REQUESTS 429      /* libsoup has no name for it */
#define MAX_RETRY_AFTER_S (24 * 60 * 60)

/* URL without its query and user: storage servers put passes there, which belong in no message. */
static char *
show_url (const char *url)
{
  g_autoptr(GUri) uri = g_uri_parse (url, SOUP_HTTP_URI_FLAGS, NULL);

  return uri != NULL ? g_uri_to_string_partial (uri, G_URI_HIDE_QUERY | G_URI_HIDE_FRAGMENT | G_URI_HIDE_USERINFO) : g_strdup (url);
}

void
zie_hub_http_init (ZieHubHttp *self, const char *endpoint, const char *token)
{
  g_autofree char *agent = g_strdup_printf ("zimage-studio/%s", zie_version ());

  /* The proxy is the desktop's: a session asks GIO's default resolver by itself.  No timeout of its own: stalls are
   * watched by who asks. */
  self->session = soup_session_new_with_options ("user-agent", agent, "timeout", 0, "idle-timeout", 30, NULL);
  soup_session_remove_feature_by_type (self->session, SOUP_TYPE_CONTENT_DECODER);    /* sizes and ranges are of the bytes as they are */
  self->origin = g_strdup (endpoint);
  self->token = token != NULL && *token != '\0' ? g_strdup (token) : NULL;
}

void
zie_hub_http_clear (ZieHubHttp *self)
{
  g_clear_object (&self->session);
  g_clear_pointer (&self->origin, g_free);
  g_clear_pointer (&self->token, g_free);
}

void
zie_hub_reply_clear (ZieHubReply *self)
{
  g_clear_object (&self->body);
  g_clear_object (&self->message);
  g_clear_pointer (&self->validator, g_free);
}

/* --- what went wrong, in words --- */

gboolean
zie_hub_explain_network (GError **error, const char *url, const GError *cause)
{
  static const struct { int code; const char *words; gboolean is_temporary; } rows[] = {
    { G_IO_ERROR_CONNECTION_REFUSED, "cannot be reached; check the network and its proxy", TRUE },
    { G_IO_ERROR_HOST_UNREACHABLE, "cannot be reached; check the network and its proxy", TRUE },
    { G_IO_ERROR_NETWORK_UNREACHABLE, "cannot be reached; check the network and its proxy", TRUE },
    { G_IO_ERROR_TIMED_OUT, "does not answer; check the network and its proxy", TRUE },
    { G_IO_ERROR_PROXY_AUTH_FAILED, "is refused by the proxy; check the proxy settings", FALSE },
    { G_IO_ERROR_PROXY_NEED_AUTH, "is refused by the proxy; check the proxy settings", FALSE },
    { G_IO_ERROR_PROXY_NOT_ALLOWED, "is refused by the proxy; check the proxy settings", FALSE },
  };
  g_autofree char *shown = show_url (url);
  const char *words = "broke off";
  gboolean is_temporary = TRUE;

  for (guint i = 0; cause->domain == G_IO_ERROR && i < G_N_ELEMENTS (rows); i++)
    if (cause->code == rows[i].code)
      {
        words = rows[i].words;
        is_temporary = rows[i].is_temporary;
      }
  if (cause->domain == G_RESOLVER_ERROR)
    words = "cannot be found; check the network and its proxy";
  else if (g_error_matches (cause, G_TLS_ERROR, G_TLS_ERROR_UNAVAILABLE))
    {
      words = "needs https, which GIO has no module for; install glib-networking";
      is_temporary = FALSE;
    }
  else if (g_error_matches (cause, G_TLS_ERROR, G_TLS_ERROR_BAD_CERTIFICATE))
    {
      words = "has a certificate that is not trusted; check the computer's clock, and whether a proxy opens what is sent";
      is_temporary = FALSE;
    }

  g_set_error (error, ZIE_ERROR, ZIE_ERROR_FAILED, "%s: %s (%s)", shown, words, cause->message);
  return is_temporary;
}

static void
explain_status (GError **error, const char *url, guint status, SoupMessage *message, gboolean had_token)
{
  g_autofree char *shown = show_url (url);
  const char *words = soup_message_get_reason_phrase (message);

  if (words == NULL || *words == '\0')
    words = soup_status_get_phrase (status);

  switch (status)
    {
    case SOUP_STATUS_UNAUTHORIZED:
    case SOUP_STATUS_FORBIDDEN:
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FAILED,
                   had_token ? "%s: the server refuses it to the owner of this access token (%u %s): the repository is private, or its terms have "
                               "to be accepted on its page first"
                             : "%s: the server gives it only to those who sign in (%u %s): the repository is private or asks for its terms to be "
                               "accepted; do that on its page, make an access token there and set HF_TOKEN to it, or take another source",
                   shown, status, words);
      break;
    case SOUP_STATUS_NOT_FOUND:
    case SOUP_STATUS_GONE:
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_NOT_FOUND,
                   "%s: the server does not have it (%u %s): it was moved or removed, or this server is no mirror of it; take another source or "
                   "endpoint", shown, status, words);
      break;
    case STATUS_TOO_MANY_REQUESTS:
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FAILED, "%s: the server has been asked too often (%u %s); try again later", shown, status, words);
      break;
    case SOUP_STATUS_PROXY_AUTHENTICATION_REQUIRED:
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FAILED, "%s: the proxy wants a name and a password (%u %s); check the proxy settings", shown,
                   status, words);
      break;
    default:
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FAILED,
                   status >= 500 ? "%s: the server is in trouble (%u %s); try again later" : "%s: the server answers %u %s", shown, status, words);
    }
}

/* --- one answer --- */

static guint
read_retry_after_ms (SoupMessageHeaders *headers)
{
  const char *text = soup_message_headers_get_one (headers, "Retry-After");
  g_autoptr(GDateTime) date = NULL;
  guint64 seconds;

  if (text == NULL)
    return 0;
  if (g_ascii_string_to_unsigned (text, 10, 0, MAX_RETRY_AFTER_S, &seconds, NULL))
    return (guint)seconds * 1000;
  if ((date = soup_date_time_new_from_http_string (text)) != NULL)
    {
      gint64 left = g_date_time_to_unix (date) - g_get_real_time () / G_USEC_PER_SEC;
      return (guint)CLAMP (left, 0, MAX_RETRY_AFTER_S) * 1000;
    }
  return 0;
}

static void
read_extent (ZieHubReply *reply, SoupMessageHeaders *headers)
{
  goffset first, last, total;

  reply->first = 0;
  reply->total = G_MAXUINT64;
  if (reply->status == SOUP_STATUS_PARTIAL_CONTENT && soup_message_headers_get_content_range (headers, &first, &last, &total))
    {
      reply->first = (guint64)first;
      if (total >= 0)
        reply->total = (guint64)total;
    }
  else if (reply->status == SOUP_STATUS_OK && soup_message_headers_get_encoding (headers) == SOUP_ENCODING_CONTENT_LENGTH)
    reply->total = (guint64)soup_message_headers_get_content_length (headers);
}

/* A weak ETag promises nothing about bytes. */
static char *
read_validator (SoupMessageHeaders *headers)
{
  const char *tag = soup_message_headers_get_one (headers, "ETag");

  if (tag != NULL && !g_str_has_prefix (tag, "W/"))
    return g_strdup (tag);
  return g_strdup (tag == NULL ? soup_message_headers_get_one (headers, "Last-Modified") : NULL);
}

static gboolean
is_redirect (guint status)
{
  return status == SOUP_STATUS_MOVED_PERMANENTLY || status == SOUP_STATUS_FOUND || status == SOUP_STATUS_SEE_OTHER
         || status == SOUP_STATUS_TEMPORARY_REDIRECT || status == SOUP_STATUS_PERMANENT_REDIRECT;
}

/* The token goes to the endpoint, and never in the clear over a network. */
static gboolean
may_have_token (const ZieHubHttp *self, GUri *uri)
{
  g_autoptr(GUri) origin = g_uri_parse (self->origin, SOUP_HTTP_URI_FLAGS, NULL);
  const char *host = g_uri_get_host (uri);

  return self->token != NULL && origin != NULL && g_strcmp0 (g_uri_get_host (origin), host) == 0
         && g_str_equal (g_uri_get_scheme (origin), g_uri_get_scheme (uri)) && g_uri_get_port (origin) == g_uri_get_port (uri)
         && (g_str_equal (g_uri_get_scheme (uri), "https") || g_str_equal (host, "127.0.0.1") || g_str_equal (host, "localhost"));
}

static SoupMessage *
make_message (const ZieHubHttp *self, GUri *uri, const ZieHubRange *range)
{
  SoupMessage *message = soup_message_new_from_uri (SOUP_METHOD_GET, uri);
  SoupMessageHeaders *headers = soup_message_get_request_headers (message);

  /* Followed by hand, so that the token stays where it belongs. */
  soup_message_set_flags (message, SOUP_MESSAGE_NO_REDIRECT);
#if SOUP_CHECK_VERSION (3, 4, 0)
  soup_message_set_force_http1 (message, TRUE);        /* a connection a file: HTTP/2 would put all of them into one */
#endif
  soup_message_headers_replace (headers, "Accept-Encoding", "identity");
  if (may_have_token (self, uri))
    {
      g_autofree char *value = g_strconcat ("Bearer ", self->token, NULL);
      soup_message_headers_replace (headers, "Authorization", value);
    }
  if (range != NULL && range->offset > 0)
    {
      g_autofree char *value = g_strdup_printf ("bytes=%" G_GUINT64_FORMAT "-", range->offset);

      soup_message_headers_replace (headers, "Range", value);
      if (range->if_range != NULL)
        soup_message_headers_replace (headers, "If-Range", range->if_range);
    }
  return message;
}

/* Where a redirection leads to; NULL with an error: nowhere that we go. */
static char *
follow (const char *url, SoupMessage *message, GError **error)
{
  const char *location = soup_message_headers_get_one (soup_message_get_response_headers (message), "Location");
  g_autoptr(GUri) from = g_uri_parse (url, SOUP_HTTP_URI_FLAGS, NULL);
  g_autoptr(GUri) to = location != NULL ? g_uri_parse_relative (from, location, SOUP_HTTP_URI_FLAGS, NULL) : NULL;
  const char *scheme = to != NULL ? g_uri_get_scheme (to) : "";

  if (g_str_equal (scheme, "https") || (g_str_equal (scheme, "http") && g_str_equal (g_uri_get_scheme (from), "http")))
    return g_uri_to_string (to);

  g_set_error (error, ZIE_ERROR, ZIE_ERROR_FAILED, "%s: the server sends us on to “%s”, where it is not safe to follow", url,
               location != NULL ? location : "");
  return NULL;
}

gboolean
zie_hub_http_get (ZieHubHttp *self, const char *url, const ZieHubRange *range, GCancellable *cancellable, ZieHubReply *reply,
                  gboolean *is_temporary, GError **error)
{
  g_autofree char *at = g_strdup (url);

  *is_temporary = FALSE;
  for (int i = 0; i <= MAX_REDIRECTS; i++)
    {
      g_autoptr(GUri) uri = g_uri_parse (at, SOUP_HTTP_URI_FLAGS, NULL);
      g_autoptr(GError) local = NULL;
      char *next;

      zie_hub_reply_clear (reply);
      *reply = (ZieHubReply) { .total = G_MAXUINT64 };
      if (uri == NULL)
        {
          g_set_error (error, ZIE_ERROR, ZIE_ERROR_FAILED, "%s: is no address", at);
          return FALSE;
        }
      reply->message = make_message (self, uri, range);
      if ((reply->body = soup_session_send (self->session, reply->message, cancellable, &local)) == NULL)
        {
          *is_temporary = zie_hub_explain_network (error, at, local);
          return FALSE;
        }

      reply->status = soup_message_get_status (reply->message);
      if (reply->status == SOUP_STATUS_OK || reply->status == SOUP_STATUS_PARTIAL_CONTENT
          || reply->status == SOUP_STATUS_REQUESTED_RANGE_NOT_SATISFIABLE)
        {
          SoupMessageHeaders *headers = soup_message_get_response_headers (reply->message);

          read_extent (reply, headers);
          reply->validator = read_validator (headers);
          return TRUE;
        }
      if (!is_redirect (reply->status))
        {
          *is_temporary = reply->status >= 500 || reply->status == STATUS_TOO_MANY_REQUESTS || reply->status == SOUP_STATUS_REQUEST_TIMEOUT;
          reply->retry_after_ms = read_retry_after_ms (soup_message_get_response_headers (reply->message));
          explain_status (error, at, reply->status, reply->message, self->token != NULL);
          return FALSE;
        }
      if ((next = follow (at, reply->message, error)) == NULL)
        return FALSE;
      g_free (at);
      at = next;
    }

  g_set_error (error, ZIE_ERROR, ZIE_ERROR_FAILED, "%s: the server sends us round in circles (%d redirections)", url, MAX_REDIRECTS);
  return FALSE;
}
