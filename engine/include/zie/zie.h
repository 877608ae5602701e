/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-device.h>
#include <zie/zie-engine.h>
#include <zie/zie-error.h>
#include <zie/zie-event.h>
#include <zie/zie-image.h>
#include <zie/zie-job.h>
#include <zie/zie-model.h>
#include <zie/zie-plan.h>
#include <zie/zie-report.h>
#include <zie/zie-request.h>
#include <zie/zie-types.h>
#include <zie/zie-version.h>
