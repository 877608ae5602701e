/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-base"

#include <zie/zie-types.h>

#include <string.h>

/* The stable names of every public enumeration, in the order of its values. */
static const char *const stage_names[] = { "text", "refine", "sample", "decode" };
static const char *const backend_kind_names[] = { "auto", "ref", "cpu", "cuda" };
static const char *const compute_names[] = { "auto", "f32", "bf16" };
static const char *const noise_names[] = { "cpu", "cuda" };
static const char *const decode_names[] = { "exact", "blend" };
static const char *const sampler_names[] = { "euler", "heun", "dpmpp-2m", "dpmpp-2m-sde", "res-multistep" };
static const char *const sampler_titles[] = { "Euler", "Heun", "DPM++ 2M", "DPM++ 2M SDE", "Res Multistep" };

G_STATIC_ASSERT (G_N_ELEMENTS (stage_names) == ZIE_N_STAGES);
G_STATIC_ASSERT (G_N_ELEMENTS (sampler_names) == ZIE_N_SAMPLERS && G_N_ELEMENTS (sampler_titles) == ZIE_N_SAMPLERS);

static const char *
name_of (const char *const *names, guint n_names, guint value)
{
  g_return_val_if_fail (value < n_names, "unknown");
  return names[value];
}

static gboolean
value_of (const char *const *names, guint n_names, const char *name, guint *value)
{
  for (guint i = 0; name != NULL && i < n_names; i++)
    if (g_str_equal (names[i], name))
      {
        *value = i;
        return TRUE;
      }

  return FALSE;
}

const char *
zie_stage_name (ZieStage stage)
{
  return name_of (stage_names, G_N_ELEMENTS (stage_names), stage);
}

const char *
zie_backend_kind_name (ZieBackendKind kind)
{
  return name_of (backend_kind_names, G_N_ELEMENTS (backend_kind_names), kind);
}

const char *
zie_compute_name (ZieCompute compute)
{
  return name_of (compute_names, G_N_ELEMENTS (compute_names), compute);
}

const char *
zie_noise_name (ZieNoise noise)
{
  return name_of (noise_names, G_N_ELEMENTS (noise_names), noise);
}

const char *
zie_decode_name (ZieDecode decode)
{
  return name_of (decode_names, G_N_ELEMENTS (decode_names), decode);
}

const char *
zie_sampler_name (ZieSampler sampler)
{
  return name_of (sampler_names, G_N_ELEMENTS (sampler_names), sampler);
}

const char *
zie_sampler_title (ZieSampler sampler)
{
  return name_of (sampler_titles, G_N_ELEMENTS (sampler_titles), sampler);
}

gboolean
zie_backend_kind_from_name (const char *name, ZieBackendKind *out)
{
  guint value;

  if (!value_of (backend_kind_names, G_N_ELEMENTS (backend_kind_names), name, &value))
    return FALSE;
  *out = (ZieBackendKind)value;
  return TRUE;
}

gboolean
zie_device_from_name (const char *name, ZieBackendKind *out, int *index)
{
  const char *colon = strchr (name, ':');
  g_autofree char *kind = colon ? g_strndup (name, (gsize)(colon - name)) : g_strdup (name);
  guint64 number = 0;

  if (colon != NULL && !g_ascii_string_to_unsigned (colon + 1, 10, 0, G_MAXUINT16, &number, NULL))
    return FALSE;
  if (!zie_backend_kind_from_name (kind, out))
    return FALSE;
  *index = (int)number;
  return TRUE;
}

gboolean
zie_compute_from_name (const char *name, ZieCompute *out)
{
  guint value;

  if (!value_of (compute_names, G_N_ELEMENTS (compute_names), name, &value))
    return FALSE;
  *out = (ZieCompute)value;
  return TRUE;
}

gboolean
zie_noise_from_name (const char *name, ZieNoise *out)
{
  guint value;

  if (!value_of (noise_names, G_N_ELEMENTS (noise_names), name, &value))
    return FALSE;
  *out = (ZieNoise)value;
  return TRUE;
}

gboolean
zie_decode_from_name (const char *name, ZieDecode *out)
{
  guint value;

  if (!value_of (decode_names, G_N_ELEMENTS (decode_names), name, &value))
    return FALSE;
  *out = (ZieDecode)value;
  return TRUE;
}

gboolean
zie_sampler_from_name (const char *name, ZieSampler *out)
{
  guint value;

  if (!value_of (sampler_names, G_N_ELEMENTS (sampler_names), name, &value))
    return FALSE;
  *out = (ZieSampler)value;
  return TRUE;
}
