/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zie-pipeline.h"

/* The embeddings of the last few prompts, by model and ids: trying another seed skips the text encoder.  CACHE may be
 * NULL.  Worker's thread only. */
void zie_text_cache_fetch (ZiePipelineCache *cache, ZieStages *stages);       /* fills embeds it knows, sets have_embeds */
void zie_text_cache_store (ZiePipelineCache *cache, const ZieStages *stages); /* keeps embeds that were computed */
