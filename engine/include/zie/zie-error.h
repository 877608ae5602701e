/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-types.h>

G_BEGIN_DECLS

#define ZIE_ERROR (zie_error_quark ())

/* One code per thing a person can act on. */
typedef enum
{
  ZIE_ERROR_FAILED,
  ZIE_ERROR_CANCELLED,              /* not a failure: never shown */
  ZIE_ERROR_INVALID_REQUEST,        /* the message names the field, what was found, what is expected */
  ZIE_ERROR_PROMPT_TOO_LONG,
  ZIE_ERROR_FILE_NOT_FOUND,
  ZIE_ERROR_FILE_CORRUPT,
  ZIE_ERROR_MODEL_UNSUPPORTED,      /* a model, but not one this program can run */
  ZIE_ERROR_TENSOR_MISSING,
  ZIE_ERROR_OUT_OF_DEVICE_MEMORY,
  ZIE_ERROR_OUT_OF_HOST_MEMORY,
  ZIE_ERROR_BACKEND_UNAVAILABLE,
  ZIE_ERROR_DEVICE_LOST,
  ZIE_ERROR_BROKEN_PICTURE,         /* NaN, Inf or one flat colour came out: nothing was kept */
  ZIE_ERROR_WRITE,                  /* a file or folder could not be written */
  ZIE_ERROR_FILE_LOST,              /* a model's file was cut or went away while it was in use: open the model again */
} ZieError;

ZIE_API GQuark zie_error_quark (void);

G_END_DECLS
