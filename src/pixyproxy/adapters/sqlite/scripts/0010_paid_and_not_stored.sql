-- floor: 6
--
-- A picture that was paid for and could not be stored, or read, is `unknown` until it is adopted: `failed` means
-- certainly unpaid.

UPDATE images SET status = 'unknown'
WHERE status = 'failed'
  AND error_code IN ('generator-answer', 'blob-store-unavailable', 'blob-store-full', 'blob-missing', 'blob-corrupt');
