/** Why an answer that is not JSON came: etcd's gateway refuses some certificates in plain words, all else is not its. */
export function foreignAnswer(status: number, text: string): string {
  if (text.startsWith('CommonName of client ')) {
    return `status ${status}: etcd takes no client certificate with a common name (CN) here, use one without`;
  }
  return `status ${status}, which is no answer of etcd`;
}
