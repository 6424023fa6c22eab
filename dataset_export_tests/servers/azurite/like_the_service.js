// Loaded before Azurite. Where it differs from the service it stands for: when a blob is deleted, the service drops its
// uncommitted blocks too (AzCopy relies on that), Azurite 3.37 keeps them for the next blob of that name.
"use strict";

const { default: Store } = require("./node_modules/azurite/dist/src/blob/persistence/LokiBlobMetadataStore");

const deleteBlob = Store.prototype.deleteBlob;
Store.prototype.deleteBlob = async function (context, account, container, blob, options) {
  await deleteBlob.call(this, context, account, container, blob, options);
  const blocks = this.db.getCollection(this.BLOCKS_COLLECTION);
  blocks.findAndRemove({ accountName: account, containerName: container, blobName: blob });
};
