// SPDX-License-Identifier: Apache-2.0
// Blocks of a snapshot decoded and digested on all cores, then looked at in order.
#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "chain/parent_link.h"
#include "codec/codec.h"
#include "image/block.h"
#include "image/header.h"

namespace snap {

/// A BLOCK record on its way through the check.
struct CheckedBlock {
  Record record;
  Bytes body;
  Error error;                        // why it cannot be given back
  std::vector<wire::PageKind> kinds;  // of its pages
  std::vector<Digest> digests;        // of its pages; those of copies are filled in later
  std::vector<CopyRef> sources;       // of its copies, in page order
  Bytes last_page;                    // decoded, where it is stored or the parent's
  Error parent_error;                 // why the parent did not give what was needed of it
};

/// Decodes all blocks of a batch on `threads` threads (0: here) and fills in kinds, digests of pages other than copies within the
/// file, and sources. Without the parent some digests stay unknown (Digest{}).
void decode_blocks(std::vector<CheckedBlock>& batch, const Header& header, const ParentLink* link, unsigned threads);

/// What must be remembered of blocks that copies may name.
class CopyWindow {
 public:
  explicit CopyWindow(std::size_t blocks) : blocks_(blocks) {}
  struct Seen {
    PageRef block;
    RecordRef record;
    bool lost = false;
    std::vector<wire::PageKind> kinds;
    std::vector<Digest> digests;
  };
  void push(Seen seen);
  /// A block at most the window's size of BLOCK records back.
  const Seen* find(PageRef block) const;
  void clear() { seen_.clear(); }

 private:
  std::size_t blocks_;
  std::deque<Seen> seen_;
};

}  // namespace snap
