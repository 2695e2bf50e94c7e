// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "snap/writer.h"
#include "write/page_table.h"

namespace snap {

/// The table behind what ParentPages::index() made; null for null.
const PageTable* parent_page_table(const ParentPages* pages);

}  // namespace snap
