// SPDX-License-Identifier: Apache-2.0
// What a writer of a difference knows of the parent.
#pragma once

#include "chain/parent_link.h"
#include "snap/writer.h"
#include "write/page_table.h"

namespace snap {

struct Delta {
  ParentLink link;
  const PageTable* moved = nullptr;  // the parent's pages by content
  DeltaForm form = DeltaForm::kAuto;
};

/// Whether a page that is stored compresses better as a XOR with the parent's page: it has so many bytes in common that the XOR is
/// more zeros than the page.
bool prefers_xor(const std::byte* page, const std::byte* parent);

/// `page` becomes page XOR `parent`.
void xor_with(std::byte* page, const std::byte* parent);

}  // namespace snap
