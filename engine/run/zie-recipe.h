/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Keywords of the PNG text chunks that hold a picture's recipe. */
#define ZIE_RECIPE_PARAMETERS "parameters"      /* zie_request_to_parameters() */
#define ZIE_RECIPE_JSON "zimage"                /* zie_request_to_json() */
